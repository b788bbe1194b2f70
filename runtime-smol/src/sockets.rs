//! The table of sockets and of the tasks that watch them. No buffers and no protocol state: 40 bytes a connection, at
//! the slot that the engine gave it, beside what smol keeps for a task and a source of events.

use std::net::TcpStream;

use offhook_core::ConnId;
use smol::{Async, Task};

/// A connection's socket, its tasks, and what the adapter remembers of it from one turn to the next.
#[derive(Debug)]
pub(crate) struct Socket {
    /// The socket, and smol's watch over it.
    pub(crate) stream: Async<TcpStream>,
    /// Waits for bytes and feeds them to the engine. Dropping it ends the task.
    pub(crate) reader: Option<Task<()>>,
    /// Waits until a full socket takes bytes again.
    pub(crate) writer: Option<Task<()>>,
    generation: u32,
    /// Bytes may wait already: read before waiting.
    pub(crate) readable: bool,
    /// On the list of sockets to be written in the next turn: the turn's budget ended before the bytes did.
    pub(crate) unsent: bool,
    /// It is being connected, and the engine waits to hear of it.
    pub(crate) dialing: bool,
}

/// All sockets of a shard, by slot.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    places: Vec<Option<Socket>>,
}

impl Sockets {
    /// Puts `stream` at the slot of `id`. What was there is closed: the engine has given the slot away.
    pub(crate) fn insert(&mut self, id: ConnId, stream: Async<TcpStream>, dialing: bool) {
        let at = id.slot as usize;
        if at >= self.places.len() {
            self.places.resize_with(at + 1, || None);
        }
        self.places[at] = Some(Socket {
            stream,
            reader: None,
            writer: None,
            generation: id.generation,
            readable: true,
            unsent: false,
            dialing,
        });
    }

    /// The socket of `id`; `None` if it was closed, also when the slot has a new owner.
    pub(crate) fn get(&mut self, id: ConnId) -> Option<&mut Socket> {
        let socket = self.places.get_mut(id.slot as usize)?.as_mut()?;
        (socket.generation == id.generation).then_some(socket)
    }

    /// Closes the socket of `id` and ends its tasks.
    pub(crate) fn close(&mut self, id: ConnId) {
        if self.get(id).is_some() {
            self.places[id.slot as usize] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Option<Socket>>() <= 40);
    }

    #[test]
    fn ids_of_a_previous_owner_find_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = || Async::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap()).unwrap();
        let mut sockets = Sockets::default();
        let (old, new) = (ConnId { slot: 2, generation: 1 }, ConnId { slot: 2, generation: 2 });
        sockets.insert(old, stream(), false);
        assert!(sockets.get(old).is_some() && sockets.get(ConnId { slot: 9, generation: 1 }).is_none());
        sockets.insert(new, stream(), false);
        assert!(sockets.get(old).is_none());
        sockets.close(old);
        assert!(sockets.get(new).is_some());
        sockets.close(new);
        assert!(sockets.get(new).is_none());
    }
}
