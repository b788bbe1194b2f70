//! The receiver of hooks. It outlives every server, notes what it takes, and refuses some of what comes to all but the
//! destination `good`: with a 503, or by closing without an answer.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use offhook_core::ground::rng::Rng;

use super::DESTINATIONS;
use super::books::{Books, Mark};
use super::wire::Wire;
use crate::conformance::peer::value_after;

const TAKEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// Of so many requests one is refused, and one more goes without an answer.
const MOODS: u64 = 12;

/// Starts it; it ends with the process.
pub(super) fn start(books: Books, rng: Rng) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("the socket is sound");
    let rng = Arc::new(Mutex::new(rng));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (books, rng) = (books.clone(), Arc::clone(&rng));
            std::thread::spawn(move || {
                // The end of a connection is the server's, or a kill's, doing.
                let _: Option<()> = serve(Wire::over(stream), &books, &rng);
            });
        }
    });
    address
}

fn serve(mut wire: Wire, books: &Books, rng: &Mutex<Rng>) -> Option<()> {
    loop {
        let (line, length) = wire.head()?;
        let body = wire.take(length)?;
        let letter = letter(&line, &body);
        let mood = rng.lock().expect("no holder panics").below(MOODS);
        match mood {
            0 if letter.is_some_and(|(to, _)| to != "good") => wire.send(REFUSED)?,
            1 if letter.is_some_and(|(to, _)| to != "good") => return None,
            _ => {
                match letter {
                    Some((destination, mark)) => books.arrive(destination, mark),
                    None => books.call_back(&body),
                }
                wire.send(TAKEN)?;
            }
        }
    }
}

/// Who is meant, and which event it is: a notification's in its query, a webhook's in its body. `None`: it is a callback.
fn letter(line: &str, body: &str) -> Option<(&'static str, Mark)> {
    let target = line.split(' ').nth(1).unwrap_or_default();
    if target == "/sep" {
        return None;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let destination = DESTINATIONS.into_iter().find(|name| path.strip_prefix('/') == Some(name));
    let id = query.strip_prefix("id=").unwrap_or_else(|| value_after(body, "\"id\":\""));
    Some((destination.unwrap_or_else(|| panic!("{line}: no destination of ours")), Mark::parse(id)))
}
