//! The floor of webhooks: the same bytes again and again over kept-alive connections, one request in
//! flight on each. Nothing is rendered, queued or remembered; of an answer only its status and its end
//! are looked for.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::Result;
use crate::http::message_length;
use crate::options::HookFloorOptions;
use crate::socket::Poll;

/// The floor's process: sends until the receiver has enough and closes.
pub(crate) fn run(options: &HookFloorOptions) -> Result<()> {
    let request = fs::read(&options.request)?;
    let answered = send(options.address, &request, options.connections)?;
    eprintln!("{answered} requests were answered");
    Ok(())
}

/// Sends `request` until the receiver closes a connection; how often it was answered.
fn send(address: SocketAddr, request: &[u8], connections: usize) -> Result<u64> {
    let mut poll = Poll::new()?;
    let mut streams = Vec::with_capacity(connections);
    for index in 0..connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        poll.add(&stream, index as u64)?;
        streams.push((stream, Vec::new()));
    }
    for (stream, _) in &mut streams {
        stream.write_all(request)?;
    }
    let (mut answered, mut buffer) = (0, vec![0; 16 * 1024]);
    loop {
        for at in 0..poll.wait(None)? {
            let (stream, unfinished) = &mut streams[poll.ready(at).token as usize];
            let bytes = match stream.read(&mut buffer) {
                Ok(0) => return Ok(answered),
                Ok(read) => &buffer[..read],
                Err(error) if is_an_end(&error) => return Ok(answered),
                Err(error) => return Err(error.into()),
            };
            if !is_answered(bytes, unfinished)? {
                continue;
            }
            answered += 1;
            match stream.write_all(request) {
                Err(error) if is_an_end(&error) => return Ok(answered),
                written => written?,
            }
        }
    }
}

fn is_an_end(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Whether the answer has come as a whole with these bytes; if not, they are kept.
fn is_answered(bytes: &[u8], unfinished: &mut Vec<u8>) -> Result<bool> {
    let mut answer = bytes;
    if !unfinished.is_empty() {
        unfinished.extend_from_slice(bytes);
        answer = unfinished;
    }
    let Some(length) = message_length(answer)? else {
        if unfinished.is_empty() {
            unfinished.extend_from_slice(bytes);
        }
        return Ok(false);
    };
    if !answer.starts_with(b"HTTP/1.1 2") || length != answer.len() {
        return Err(format!("not an answer to one request: {:?}", String::from_utf8_lossy(answer)).into());
    }
    unfinished.clear();
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::{ANSWER, Expect, Receiver};

    #[test]
    fn the_floor_sends_until_the_receiver_has_enough() {
        let mut receiver = Receiver::bind().expect("a port");
        let address = receiver.address().expect("an address");
        let request = b"POST / HTTP/1.1\r\nContent-Length: 27\r\n\r\n^0000000000000000:00000009|";
        let floor = std::thread::spawn(move || send(address, request, 4).expect("an end"));
        let received = receiver.receive(100, Expect::Same, &[]).expect("all came");
        assert_eq!((received.rate.done, &received.first[..]), (100, &request[..]));
        drop(receiver);
        assert!(floor.join().expect("a floor") <= 104);
    }

    #[test]
    fn an_answer_may_come_in_pieces_and_must_be_a_good_one() {
        for at in 1..ANSWER.len() {
            let mut unfinished = Vec::new();
            assert!(!is_answered(&ANSWER[..at], &mut unfinished).expect("a piece"));
            assert!(is_answered(&ANSWER[at..], &mut unfinished).expect("the rest"));
            assert!(unfinished.is_empty());
        }
        assert!(is_answered(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", &mut Vec::new()).is_err());
        assert!(is_answered(&ANSWER.repeat(2), &mut Vec::new()).is_err());
    }
}
