//! The offhook core in a loop of your own: `cargo run --example plain_loop -- 127.0.0.1:8080`.
//!
//! The core holds no socket, no clock and no log. This program lends it all three in the simplest form: non-blocking
//! sockets, looked at one after the other with a sleep when none has anything to say, and a log that is a counter.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // The core owns no sockets and clocks; its user does.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use offhook_core::ground::config::{Listener, Place};
use offhook_core::{Action, Completion, Config, ConnId, Engine, ListenerId, Mono, Now, Seq, Wall};

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind(std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:8080"))?;
    listener.set_nonblocking(true)?;
    println!("listening on http://{}", listener.local_addr()?);
    let started = Instant::now();
    let clocks = || {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: Mono(started.elapsed().as_millis() as u64), wall: Wall(wall.as_millis() as u64) }
    };
    let config = Config { listeners: vec![Listener::default()], ..Config::default() };
    let mut engine = Engine::new(config, Place::default(), clocks().wall.0);
    engine.complete(clocks(), Completion::Recovered);
    let mut sockets: BTreeMap<ConnId, (TcpStream, bool)> = BTreeMap::new(); // true: more bytes may come
    let mut full: Vec<ConnId> = Vec::new();
    let mut last = Seq(0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let now = clocks();
        let mut idle = true;
        // In: connections, bytes, and sockets that may take bytes again.
        while let Ok((socket, peer)) = listener.accept() {
            socket.set_nonblocking(true).and(socket.set_nodelay(true))?;
            if let Some(id) = engine.accept(now, ListenerId(0), peer) {
                sockets.insert(id, (socket, true));
            }
        }
        for (&id, (socket, open)) in &mut sockets {
            if !*open || !engine.wants_read(id) {
                continue;
            }
            let read = socket.read(&mut buffer);
            (idle, *open) = (idle && read.is_err(), !matches!(read, Ok(0)));
            match read {
                Ok(0) => engine.receive_eof(now, id),
                Ok(n) => engine.receive(now, id, &buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => engine.receive_error(now, id),
            }
        }
        full.drain(..).for_each(|id| engine.writable(now, id));
        engine.handle_timeout(now);
        // Out: whatever the engine asks for.
        while let Some(action) = engine.poll_action() {
            match action {
                Action::Append(records) => {
                    for record in records {
                        last = last.next();
                        engine.receive_record(now, last, &Arc::new(record));
                    }
                    engine.complete(now, Completion::Durable(last));
                }
                Action::Flush(id) => {
                    if sockets.get_mut(&id).is_some_and(|(socket, _)| flush(&mut engine, now, id, socket)) {
                        full.push(id);
                    }
                }
                Action::Finish(id) => drop(sockets.get(&id).map(|entry| entry.0.shutdown(Shutdown::Write))),
                Action::Close(id) => drop(sockets.remove(&id)),
                Action::Read { .. } => unreachable!("no engine reads a log that its Place says is not kept"),
                Action::Dial(id, _) => engine.complete(now, Completion::Dialed(id, Err("no".into()))), // Nor webhooks.
                Action::Send { .. } => engine.datagram_dropped(), // No SIP is spoken.
                Action::Resolve(n, _, _) => engine.complete(now, Completion::Resolved(n, Err("no".into()))),
                Action::Report(number) => engine.complete(now, Completion::Report(number, b"# EOF\n".into())),
                Action::Check { ticket, .. } => engine.complete(now, Completion::Checked(ticket, false)), // No users.
                Action::Audit(line) => eprintln!("{line:?}"),
                Action::Note(note) => eprintln!("{:?}: {}", note.level, note.text),
            }
        }
        std::thread::sleep(Duration::from_millis(u64::from(idle)));
    }
}

/// Writes all that the engine lends; true if the socket is full.
fn flush(engine: &mut Engine, now: Now, id: ConnId, socket: &mut TcpStream) -> bool {
    loop {
        let Some(outbound) = engine.outbound(id) else { return false };
        let lent = outbound.len();
        let written = socket.write_vectored(outbound.slices());
        if written.as_ref().is_err_and(|error| error.kind() != ErrorKind::WouldBlock) {
            engine.receive_error(now, id);
            return false;
        }
        let n = written.unwrap_or(0);
        if !engine.advance(now, id, n) {
            return n < lent;
        }
    }
}
