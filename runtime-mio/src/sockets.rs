//! The table of sockets. No buffers and no protocol state: 16 bytes a connection, at the slot that the engine gave it.

use mio::net::TcpStream;
use offhook_core::ConnId;

/// A connection's socket, and what the loop remembers of it from one turn to the next.
#[derive(Debug)]
pub(crate) struct Socket {
    /// The socket, registered once for both directions.
    pub(crate) stream: TcpStream,
    generation: u32,
    /// On the list of sockets to be read without a further event: epoll reports an edge once, and a read stopped early.
    pub(crate) unread: bool,
    /// On the list of sockets to be written in the next turn: the turn's budget ended before the bytes did.
    pub(crate) unsent: bool,
    /// It took less than was lent; the engine waits for [`offhook_core::Engine::writable`].
    pub(crate) full: bool,
    /// The end of the peer's direction was announced, so a short read does not mean that no edge is pending.
    pub(crate) closing: bool,
    /// The engine was told of that end.
    pub(crate) ended: bool,
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
    pub(crate) fn insert(&mut self, id: ConnId, stream: TcpStream, dialing: bool) {
        let at = id.slot as usize;
        if at >= self.places.len() {
            self.places.resize_with(at + 1, || None);
        }
        self.places[at] = Some(Socket {
            stream,
            generation: id.generation,
            unread: false,
            unsent: false,
            full: false,
            closing: false,
            ended: false,
            dialing,
        });
    }

    /// The socket of `id`; `None` if it was closed, also when the slot has a new owner.
    pub(crate) fn get(&mut self, id: ConnId) -> Option<&mut Socket> {
        let socket = self.places.get_mut(id.slot as usize)?.as_mut()?;
        (socket.generation == id.generation).then_some(socket)
    }

    /// Whoever sits at `slot` at present. An event that was meant for a previous owner is a spurious one for this
    /// owner, and those do no harm.
    pub(crate) fn at(&mut self, slot: usize) -> Option<(ConnId, &mut Socket)> {
        let socket = self.places.get_mut(slot)?.as_mut()?;
        let id = ConnId { slot: u32::try_from(slot).ok()?, generation: socket.generation };
        Some((id, socket))
    }

    /// Closes the socket of `id`. The kernel takes a closed socket off epoll by itself: nobody duplicates these.
    pub(crate) fn close(&mut self, id: ConnId) {
        if self.get(id).is_some() {
            self.places[id.slot as usize] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(listener: &std::net::TcpListener) -> TcpStream {
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        TcpStream::from_std(stream)
    }

    #[test]
    fn an_entry_is_small() {
        // A debug build of mio keeps the id of the selector beside each socket.
        let most = if cfg!(debug_assertions) { 32 } else { 16 };
        assert!(size_of::<Option<Socket>>() <= most);
    }

    #[test]
    fn ids_of_a_previous_owner_find_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sockets = Sockets::default();
        let (old, new) = (ConnId { slot: 2, generation: 1 }, ConnId { slot: 2, generation: 2 });
        sockets.insert(old, stream(&listener), false);
        assert!(sockets.get(old).is_some() && sockets.at(1).is_none() && sockets.at(9).is_none());
        sockets.insert(new, stream(&listener), false);
        assert!(sockets.get(old).is_none());
        sockets.close(old);
        assert_eq!(sockets.at(2).map(|(id, _)| id), Some(new));
        sockets.close(new);
        assert!(sockets.at(2).is_none() && sockets.get(new).is_none());
    }
}
