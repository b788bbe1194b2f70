//! The load of the log: publishers that keep so many requests each in flight, and no subscriber.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Result;
use crate::dialect::{Dialect, Template};
use crate::publish::Publisher;
use crate::rate::{Rate, Watch};
use crate::socket::Poll;

/// Without an answer for this long, what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one read of replies takes at most.
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// Requests of each publisher that are answered before anything is measured.
const WARM_UP_REQUESTS: u32 = 5;

/// When publishers stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After so much time.
    Span(Duration),
    /// When each has published so many events.
    Events(u32),
}

/// Publishers, one connection each.
pub(crate) struct Flow {
    poll: Poll,
    publishers: Vec<Publisher>,
    /// Requests of each that are in flight.
    depth: u32,
    buffer: Vec<u8>,
}

impl Flow {
    /// Connects `count` publishers that send `template` and keep `depth` requests in flight each.
    pub(crate) fn connect(
        address: SocketAddr,
        template: &Template,
        count: usize,
        depth: u32,
    ) -> Result<Self> {
        let poll = Poll::new()?;
        let mut publishers = Vec::with_capacity(count);
        for index in 0..count {
            // What is published is native, whatever the dialect of those who read it.
            let publisher = Publisher::connect(address, Dialect::Sse, template.clone())?;
            poll.add(publisher.stream(), index as u64)?;
            publishers.push(publisher);
        }
        Ok(Self { poll, publishers, depth, buffer: vec![0; READ_BUFFER_BYTES] })
    }

    /// Publishes a little that is not measured.
    pub(crate) fn warm_up(&mut self) -> Result<()> {
        let events = self.publishers.first().map_or(0, Publisher::published);
        let each = WARM_UP_REQUESTS * self.publishers.first().map_or(0, Publisher::events_per_request);
        self.publish(Until::Events(events + each))
    }

    /// Publishes, and waits until all is answered. `processes` are the server's, as far as they are known.
    pub(crate) fn run(&mut self, until: Until, processes: &[u32]) -> Result<Rate> {
        let published = self.published();
        let watch = Watch::start(processes)?;
        self.publish(until)?;
        watch.stop(self.published() - published)
    }

    fn published(&self) -> u64 {
        self.publishers.iter().map(|publisher| u64::from(publisher.published())).sum()
    }

    fn publish(&mut self, until: Until) -> Result<()> {
        let begin = Instant::now();
        let mut open = Vec::with_capacity(self.publishers.len());
        for index in 0..self.publishers.len() {
            open.push(self.fill(index, until, begin)?);
        }
        let mut progress_at = Instant::now();
        while self.publishers.iter().any(|publisher| publisher.unanswered() > 0) {
            // Whoever waits for room in a socket is tried again, in case no answer comes before.
            let stuck = self.publishers.iter().any(Publisher::is_stuck);
            let ready = self.poll.wait(Some(Duration::from_millis(if stuck { 1 } else { 100 })))?;
            for at in 0..ready {
                let index = self.poll.ready(at).token as usize;
                self.publishers[index].receive(&mut self.buffer)?;
                open[index] = open[index] && self.fill(index, until, begin)?;
            }
            if stuck {
                self.publishers.iter_mut().try_for_each(Publisher::flush)?;
            }
            if ready > 0 {
                progress_at = Instant::now();
            } else if progress_at.elapsed() > PATIENCE {
                let missing: u32 = self.publishers.iter().map(Publisher::unanswered).sum();
                return Err(format!("{missing} requests were never answered").into());
            }
        }
        Ok(())
    }

    /// Sends as many requests of a publisher as may be in flight; false when it is to send no more.
    fn fill(&mut self, index: usize, until: Until, begin: Instant) -> Result<bool> {
        let publisher = &mut self.publishers[index];
        let open = loop {
            let open = match until {
                Until::Span(span) => begin.elapsed() < span,
                Until::Events(events) => publisher.published() < events,
            };
            if !open || publisher.unanswered() >= self.depth {
                break open;
            }
            publisher.publish(0);
        };
        publisher.flush()?;
        Ok(open)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A server that answers each request with `reply`.
    fn serve(reply: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                std::thread::spawn(move || {
                    let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
                    while let Ok(read @ 1..) = stream.read(&mut buffer) {
                        input.extend_from_slice(&buffer[..read]);
                        // The events' closing bracket ends a request.
                        let requests = memchr::memmem::find_iter(&input, b"}]").count();
                        if let Some(end) = memchr::memmem::rfind(&input, b"}]") {
                            input.drain(..end + 2);
                        }
                        stream.write_all(reply.repeat(requests).as_bytes()).expect("written");
                    }
                });
            }
        });
        address
    }

    const TWO: &str =
        "HTTP/1.1 202 Accepted\r\nContent-Length: 30\r\n\r\n{\"accepted\":[\"seq\":1,\"seq\":2]}";

    #[test]
    fn every_event_is_published_and_answered() {
        let address = serve(TWO);
        let mut flow = Flow::connect(address, &Template::batch(address, 2), 3, 4).expect("connected");
        flow.warm_up().expect("answered");
        let warm = flow.published();
        assert_eq!(warm, 3 * 2 * u64::from(WARM_UP_REQUESTS));
        let rate = flow.run(Until::Events(200), &[]).expect("answered");
        assert_eq!(rate.done + warm, 3 * 200);
        let rate = flow.run(Until::Span(Duration::from_millis(20)), &[]).expect("answered");
        assert!(rate.done > 0 && rate.done.is_multiple_of(2));
        assert!(rate.wall >= Duration::from_millis(20));
    }

    #[test]
    fn what_is_not_accepted_is_an_error() {
        let address = serve("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull");
        let mut flow = Flow::connect(address, &Template::batch(address, 2), 1, 1).expect("connected");
        let error = flow.run(Until::Events(2), &[]).expect_err("refused").to_string();
        assert!(error.contains("503") && error.contains("full"), "{error}");
        let address = serve(TWO);
        let mut flow = Flow::connect(address, &Template::batch(address, 3), 1, 1).expect("connected");
        let error = flow.run(Until::Events(3), &[]).expect_err("too few").to_string();
        assert!(error.contains("2 of the 3"), "{error}");
    }
}
