//! What a client sends on an open websocket (RFC 6455 sections 5 to 8). tungstenite undoes masks, puts fragments
//! together, judges UTF-8 and answers control frames; the header of a frame is judged here before anything of it is
//! kept.
//!
//! What is absent here: what this side says of its own accord, time, extensions. An idle session holds no parser and no
//! buffer: a frame gathers until it is whole, and a parser lives only while a message is in fragments.

use std::borrow::Cow;
use std::io::{self, Cursor, Read, Write};

use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::{Message, Role, WebSocketConfig, WebSocketContext};

use super::frame::CONTROL_MAX;

/// What the parser of a message in fragments reads at a time.
const READ_BYTES: usize = 1_024;

/// What came off the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole message of text.
    Text(String),
    /// A whole message of bytes.
    Binary(Vec<u8>),
    /// A Ping; its Pong is in the reply.
    Ping,
    /// A Pong.
    Pong,
    /// The peer's Close. Its echo is in the reply, unless this side had sent a Close before. Nothing comes after it.
    Close,
    /// Nothing until more input comes.
    More,
    /// The peer broke the protocol: the connection is failed (section 7.1.7) with a Close of this code, and no Close of
    /// the peer is waited for. Nothing comes after it.
    Broken(Broken),
}

/// How a peer broke the protocol, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// 1002, 1007 or 1009 (section 7.4.1).
    pub code: u16,
    /// A phrase for whoever reads the Close.
    pub reason: &'static str,
}

impl Broken {
    const NOT_UTF8: Broken = Broken { code: 1007, reason: "text is not UTF-8" };
    const TOO_BIG: Broken = Broken { code: 1009, reason: "the message is larger than the server takes" };

    const fn protocol(reason: &'static str) -> Broken {
        Broken { code: 1002, reason }
    }
}

/// The machine.
#[derive(Debug)]
pub struct Session {
    message_max: u64,
    partial: Option<Box<Partial>>,
    phase: Phase,
}

/// What is here of something that is not whole.
#[derive(Debug, Default)]
struct Partial {
    /// The beginning of a frame.
    frame: Vec<u8>,
    /// The fragments of a message.
    message: Option<WebSocketContext>,
    /// Bytes of payload in them.
    message_bytes: u64,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// This side has sent a Close: frames are passed over, of the present one so many bytes.
    Closing {
        left: u64,
        is_close: bool,
    },
    /// Whatever comes is thrown away.
    Ended,
}

impl Session {
    /// A session that was just opened, and takes messages of at most so many bytes.
    #[must_use]
    pub fn new(message_max: u64) -> Session {
        Session { message_max, partial: None, phase: Phase::Open }
    }

    /// From here on messages of so many bytes are taken, if that is more than before.
    pub fn raise_message_max(&mut self, message_max: u64) {
        self.message_max = self.message_max.max(message_max);
        let message_max = size(self.message_max);
        if let Some(parser) = self.partial.as_mut().and_then(|partial| partial.message.as_mut()) {
            parser.set_config(|config| {
                config.max_message_size = Some(message_max);
                config.max_frame_size = Some(message_max.max(CONTROL_MAX));
            });
        }
    }

    /// Takes the next thing off the front of `input`; `reply` gets what must be sent back at once (a Pong, the echo of a
    /// Close). [`Next::More`] has taken all of `input`.
    pub fn next(&mut self, input: &mut &[u8], reply: &mut Vec<u8>) -> Next {
        let next = match self.phase {
            Phase::Open => self.receive(input, reply).unwrap_or_else(Next::Broken),
            Phase::Closing { .. } => self.pass_over(input),
            Phase::Ended => Next::More,
        };
        if matches!(next, Next::Close | Next::Broken(_)) {
            (self.phase, self.partial) = (Phase::Ended, None);
        }
        if let Phase::Ended = self.phase {
            *input = &[];
        }
        next
    }

    /// This side has sent a Close: what comes is passed over until the peer's.
    pub fn closing(&mut self) {
        if let Phase::Open = self.phase {
            self.phase = Phase::Closing { left: 0, is_close: false };
            let partial = self.partial.take().unwrap_or_default();
            // What has come is no whole frame, so that no Close is found in it.
            self.pass_over(&mut &partial.frame[..]);
        }
    }

    /// Bytes of frames and messages that are not whole.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.partial.as_ref().map_or(0, |partial| partial.frame.capacity() as u64 + partial.message_bytes)
    }

    fn receive(&mut self, input: &mut &[u8], reply: &mut Vec<u8>) -> Result<Next, Broken> {
        while let Some((header, frame)) = self.take_frame(input)? {
            if let Some(next) = self.read(&header, frame, reply)? {
                return Ok(next);
            }
        }
        Ok(Next::More)
    }

    /// Takes a whole frame off the front of `input`; the beginning of one is kept.
    fn take_frame<'i>(&mut self, input: &mut &'i [u8]) -> Result<Option<Frame<'i>>, Broken> {
        let kept = self.partial.as_mut().map(|partial| std::mem::take(&mut partial.frame));
        let mut frame = kept.unwrap_or_default();
        if frame.is_empty()
            && let Some(header) = self.judge(input)?
            && let Some((frame, rest)) = input.split_at_checked(header.frame_bytes())
        {
            *input = rest;
            return Ok(Some((header, Cow::Borrowed(frame))));
        }
        loop {
            let header = self.judge(&frame)?;
            // The header comes byte by byte, the rest in one piece.
            let missing = header.as_ref().map_or(1, |header| header.frame_bytes() - frame.len());
            if let Some(header) = header
                && missing == 0
            {
                return Ok(Some((header, Cow::Owned(frame))));
            }
            if input.is_empty() {
                if !frame.is_empty() {
                    self.partial.get_or_insert_default().frame = frame;
                }
                return Ok(None);
            }
            let (taken, rest) = input.split_at(missing.min(input.len()));
            if frame.capacity() - frame.len() < taken.len() {
                // Room grows with what has come, whatever was announced.
                frame.reserve_exact(taken.len().max(frame.len().min(missing)));
            }
            frame.extend_from_slice(taken);
            *input = rest;
        }
    }

    /// Judges the header at the front of `bytes`, if it is whole.
    fn judge(&self, bytes: &[u8]) -> Result<Option<Header>, Broken> {
        let Some(header) = Header::parse(bytes)? else { return Ok(None) };
        let FrameHeader { is_final, rsv1, rsv2, rsv3, opcode, mask } = header.says;
        let message = self.partial.as_ref().filter(|partial| partial.message.is_some());
        let fault = |reason| Err(Broken::protocol(reason));
        match opcode {
            _ if rsv1 || rsv2 || rsv3 => fault("a reserved bit is set"),
            _ if mask.is_none() => fault("a frame of a client is not masked"),
            OpCode::Control(_) if !is_final => fault("a control frame is in fragments"),
            OpCode::Control(_) if header.payload_bytes > CONTROL_MAX as u64 => {
                fault("a control frame is longer than 125 bytes")
            }
            OpCode::Data(Data::Continue) if message.is_none() => fault("there is nothing to continue"),
            OpCode::Data(Data::Text | Data::Binary) if message.is_some() => {
                fault("a message starts inside another")
            }
            OpCode::Data(_) => {
                let room = self.message_max - message.map_or(0, |partial| partial.message_bytes);
                if header.payload_bytes > room { Err(Broken::TOO_BIG) } else { Ok(Some(header)) }
            }
            OpCode::Control(_) => Ok(Some(header)),
        }
    }

    /// Reads a whole frame whose header is good.
    fn read(
        &mut self,
        header: &Header,
        frame: Cow<'_, [u8]>,
        reply: &mut Vec<u8>,
    ) -> Result<Option<Next>, Broken> {
        let before = self.partial.as_mut().and_then(|partial| partial.message.take());
        let is_data = matches!(header.says.opcode, OpCode::Data(_));
        let goes_on = if is_data { !header.says.is_final } else { before.is_some() };
        let (mut parser, rest) = match before {
            Some(parser) => (parser, frame),
            None => (self.parser(frame.into_owned(), goes_on), Cow::Borrowed(&[][..])),
        };
        let mut pipe = Pipe { input: &rest, output: reply };
        let next = match parser.read(&mut pipe) {
            Ok(Message::Text(text)) => Some(Next::Text(text.as_str().to_owned())),
            Ok(Message::Binary(bytes)) => Some(Next::Binary(bytes.into())),
            Ok(Message::Ping(_)) => Some(Next::Ping),
            Ok(Message::Pong(_)) => Some(Next::Pong),
            Ok(Message::Close(_)) => Some(Next::Close),
            Ok(Message::Frame(_)) => None,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => return Err(broken(&error)),
        };
        // A Pong or the echo of a Close waits in the parser. It has nothing else to say but that it is closed then.
        let _ = parser.flush(&mut pipe);
        if goes_on {
            let partial = self.partial.get_or_insert_default();
            partial.message_bytes += if is_data { header.payload_bytes } else { 0 };
            partial.message = Some(parser);
        } else {
            self.partial = None;
        }
        Ok(next)
    }

    /// A parser that was given a frame, and perhaps stays for more.
    fn parser(&self, frame: Vec<u8>, stays: bool) -> WebSocketContext {
        let message_max = size(self.message_max);
        let config = WebSocketConfig::default()
            .read_buffer_size(if stays { READ_BYTES } else { 0 })
            .write_buffer_size(0)
            .max_message_size(Some(message_max))
            .max_frame_size(Some(message_max.max(CONTROL_MAX)));
        WebSocketContext::from_partially_read(frame, Role::Server, Some(config))
    }

    /// Passes over frames up to a Close. Where there is no frame, no Close will be found.
    fn pass_over(&mut self, input: &mut &[u8]) -> Next {
        while let Phase::Closing { left, is_close } = &mut self.phase {
            let n = size(*left).min(input.len());
            *input = &input[n..];
            *left -= n as u64;
            if *left > 0 {
                break;
            }
            if *is_close {
                return Next::Close;
            }
            let Some((first, rest)) = input.split_first() else { break };
            *input = rest;
            let header = &mut self.partial.get_or_insert_default().frame;
            header.push(*first);
            match Header::parse(header) {
                Ok(None) => {}
                Ok(Some(header)) => {
                    let is_close = header.says.opcode == OpCode::Control(Control::Close);
                    self.phase = Phase::Closing { left: header.payload_bytes, is_close };
                    self.partial = None;
                }
                Err(_) => (self.phase, self.partial) = (Phase::Ended, None),
            }
        }
        Next::More
    }
}

/// A whole frame: what its header says, and its bytes.
type Frame<'i> = (Header, Cow<'i, [u8]>);

/// A frame's header.
#[derive(Debug)]
struct Header {
    says: FrameHeader,
    bytes: usize,
    payload_bytes: u64,
}

impl Header {
    /// Reads the header at the front of `bytes`, if it is whole (section 5.2).
    fn parse(bytes: &[u8]) -> Result<Option<Header>, Broken> {
        let mut cursor = Cursor::new(bytes);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|error| broken(&error))?;
        let Some((says, payload_bytes)) = parsed else { return Ok(None) };
        let bytes = says.len(payload_bytes);
        if cursor.position() != bytes as u64 {
            return Err(Broken::protocol("a length is not in its shortest form"));
        }
        if payload_bytes >> 63 != 0 {
            return Err(Broken::protocol("a length has its highest bit set"));
        }
        Ok(Some(Header { says, bytes, payload_bytes }))
    }

    fn frame_bytes(&self) -> usize {
        size(self.payload_bytes).saturating_add(self.bytes)
    }
}

/// A number of bytes in memory.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// tungstenite's word for what is wrong, in ours.
fn broken(error: &Error) -> Broken {
    match error {
        Error::Utf8(_) => Broken::NOT_UTF8,
        Error::Capacity(_) => Broken::TOO_BIG,
        Error::Protocol(ProtocolError::InvalidOpcode(_)) => Broken::protocol("an opcode is reserved"),
        Error::Protocol(ProtocolError::InvalidCloseSequence) => {
            Broken::protocol("a Close holds half of a code")
        }
        Error::Protocol(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Tls(_)
        | Error::WriteBufferFull(_)
        | Error::AttackAttempt
        | Error::Url(_) => Broken::protocol("the protocol is broken"),
    }
}

/// What a parser reads from and writes to.
struct Pipe<'a> {
    input: &'a [u8],
    output: &'a mut Vec<u8>,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Nothing read would mean the end of the connection.
        if self.input.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.input.read(buf) }
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
