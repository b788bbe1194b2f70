//! Somebody who sends what no client sends: halves of requests, garbage, too much of something; who reads nothing, or leaves
//! in the middle. Whatever he does, nobody else notices.

use super::super::books::Books;
use super::super::client::{Client, Io};
use super::super::net::{End, LinkId};
use crate::memory::write::{get, publish};

/// Connections at a time.
const LINKS_MAX: usize = 4;

/// A stranger.
#[derive(Debug, Default)]
pub struct Stranger {
    links: Vec<LinkId>,
    left: bool,
}

fn nonsense(io: &mut Io<'_>) -> Vec<u8> {
    let whole = match io.rng.below(6) {
        0 => get("/v1/events"),
        1 => publish(r#"{"type":"call.ringing""#),
        2 => get(&format!("/{}", "x".repeat(10_000))),
        3 => b"GET /communication_manager/ws/event HTTP/1.1\r\nUpgrade: websocket\r\n\r\n".to_vec(),
        4 => b"POST /default/eventhandlers?appid=app HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n<web_service".to_vec(),
        _ => {
            let mut bytes = vec![0; io.rng.below(400) as usize];
            io.rng.fill(&mut bytes);
            bytes
        }
    };
    let most = if io.rng.below(2) == 0 { whole.len() } else { io.rng.below(whole.len() as u64 + 1) as usize };
    whole[..most].to_vec()
}

impl Client for Stranger {
    fn name(&self) -> &'static str {
        "a stranger"
    }

    fn wake(&mut self, io: &mut Io<'_>) {
        if self.left || io.calm {
            return;
        }
        if self.links.len() < LINKS_MAX {
            let link = io.dial(0);
            self.links.push(link);
        } else {
            let at = io.rng.below(self.links.len() as u64) as usize;
            let link = self.links.swap_remove(at);
            io.close(link);
        }
        let pause = 50 + io.rng.below(2_000);
        io.wake_in(pause);
    }

    fn connected(&mut self, io: &mut Io<'_>, link: LinkId) {
        let bytes = nonsense(io);
        io.send(link, bytes);
        match io.rng.below(4) {
            0 => io.finish(link),
            1 => {
                io.close(link);
                self.links.retain(|known| *known != link);
            }
            _ => {}
        }
    }

    fn received(&mut self, _io: &mut Io<'_>, _link: LinkId, _bytes: &[u8]) {}

    fn ended(&mut self, _io: &mut Io<'_>, link: LinkId, _how: End) {
        self.links.retain(|known| *known != link);
    }

    fn waits_for(&self, _books: &Books) -> Option<String> {
        None
    }

    fn leave(&mut self, io: &mut Io<'_>) {
        self.left = true;
        for link in std::mem::take(&mut self.links) {
            io.close(link);
        }
    }
}
