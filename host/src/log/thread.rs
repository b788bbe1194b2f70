//! The log's own thread: takes what the shards appended, lets the core's writer say what to do with it, does that, and
//! tells the shards what has become durable. While it writes and syncs, more gathers; so one sync carries all of it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use offhook_core::ground::config::Config;
use offhook_core::log::recovery::Recovered;
use offhook_core::log::retention::Retention;
use offhook_core::log::segments::{Retain, Segments};
use offhook_core::log::writer::{Bounds, Operation, Outcome, Writer};
use offhook_core::{Completion, Epoch, Seq};

use super::disk::Disk;
use super::queue::{Queue, Taken};
use crate::clock::Clock;
use crate::mailbox::{Batch, lock};
use crate::process::Process;

/// What is done when a write or a sync fails, with a sentence: what became of the records is unknown from there on, so
/// the server does not go on.
pub(crate) type OnFailure = Box<dyn FnOnce(String) + Send>;

/// What the thread needs to know.
pub(crate) struct Start {
    pub(crate) process: Arc<Process>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) segments: Arc<Mutex<Segments>>,
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) clock: Clock,
    pub(crate) epoch: Epoch,
    pub(crate) recovered: Recovered,
    pub(crate) shards: u16,
    pub(crate) config: Config,
    pub(crate) on_failure: OnFailure,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct LogThread {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl LogThread {
    /// Writes what was appended so far, the opening of the epoch, before anything else: what is shown to anybody under an
    /// epoch that a crash takes back would be given out again by the next start, if the clock was set back meanwhile.
    pub(crate) fn start(start: Start) -> io::Result<LogThread> {
        let queue = Arc::clone(&start.queue);
        let mut log = Log::new(start);
        queue.take(&mut log.batches);
        if log.work().is_err() {
            return Err(io::Error::other("its first write failed"));
        }
        let thread = std::thread::Builder::new().name("log".to_owned());
        let thread = thread.spawn(move || log.run())?;
        Ok(LogThread { queue, thread: Some(thread) })
    }

    /// Waits until all that was appended is written, with a mark behind it.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        self.end();
    }
}

/// A write or a sync failed, and that was said.
struct Failed;

struct Log {
    process: Arc<Process>,
    queue: Arc<Queue>,
    segments: Arc<Mutex<Segments>>,
    disk: Box<dyn Disk>,
    clock: Clock,
    writer: Writer,
    retention: Retention,
    retain: Retain,
    retry: Duration,
    look: Duration,
    on_failure: Option<OnFailure>,
    told: Seq,
    told_full: bool,
    batches: Vec<(Seq, Batch)>,
}

impl Log {
    fn new(start: Start) -> Log {
        let limits = &start.config.limits;
        let bounds = Bounds { segment_bytes: limits.log_segment_bytes, group_bytes: limits.log_group_bytes };
        let told = start.recovered.last;
        Log {
            process: start.process,
            queue: start.queue,
            segments: start.segments,
            disk: start.disk,
            clock: start.clock,
            writer: Writer::new(bounds, start.epoch, start.recovered),
            retention: Retention::new(start.shards),
            retain: Retain {
                age_ms: start.config.log.retain_ms,
                bytes: start.config.log.retain_bytes,
                segment_bytes: limits.log_segment_bytes,
            },
            retry: Duration::from_millis(limits.log_retry_ms),
            look: Duration::from_millis(limits.log_look_ms),
            on_failure: Some(start.on_failure),
            told,
            told_full: false,
            batches: Vec::new(),
        }
    }

    fn run(mut self) {
        loop {
            let at_most = if self.writer.is_full() { self.retry } else { self.look };
            let taken = self.queue.wait(at_most, &mut self.batches);
            if self.work().is_err() {
                return;
            }
            if taken == Taken::Closed {
                self.writer.mark();
                let _ = self.work();
                return;
            }
            self.retire();
        }
    }

    fn append(&mut self) {
        for (first, batch) in self.batches.drain(..) {
            self.writer.append(first, &batch);
            // What was carried stands before the last answer, so it is appended by now.
            for (seq, record) in (first.0..).map(Seq).zip(batch.iter()) {
                if let Some(oldest) = self.retention.appended(seq, record) {
                    self.writer.retire_before(oldest);
                }
            }
        }
    }

    /// Does all that there is to do, or as much as there is space for.
    fn work(&mut self) -> Result<(), Failed> {
        self.append();
        while let Some(operation) = self.writer.operation() {
            let is_sync = matches!(operation, Operation::Sync { .. });
            let changes_segments = is_sync || matches!(operation, Operation::Delete { .. });
            let outcome = match carry_out(self.disk.as_mut(), operation) {
                Ok(()) => Outcome::Done,
                Err(error) if is_full(&error) && !is_sync => Outcome::NoSpace,
                Err(error) => {
                    let text = format!(
                        "cannot {}: {error}; the server ends, because what became of the last records is \
                         unknown; the next start finds out",
                        Shown(operation)
                    );
                    if let Some(on_failure) = self.on_failure.take() {
                        on_failure(text);
                    }
                    return Err(Failed);
                }
            };
            self.writer.done(outcome);
            if changes_segments {
                lock(&self.segments).follow(self.writer.segments());
            }
            self.tell();
            if outcome == Outcome::NoSpace {
                break;
            }
            if is_sync {
                self.queue.take(&mut self.batches);
                self.append();
            }
        }
        self.tell();
        Ok(())
    }

    /// Tells the shards what is new.
    fn tell(&mut self) {
        let durable = self.writer.durable();
        if durable > self.told {
            self.told = durable;
            self.process.tell_all(|| Completion::Durable(durable));
        }
        let full = self.writer.is_full();
        if full != self.told_full {
            self.told_full = full;
            if full {
                tracing::error!("the log has no room: what would change something is refused until there is");
            } else {
                tracing::info!("the log has room again");
            }
            self.process.tell_all(|| Completion::Full(full));
        }
    }

    fn retire(&mut self) {
        let wall = self.clock.now().wall;
        if let Some(record) = self.retention.ask(self.writer.segments(), wall, self.retain) {
            self.process.log.append_for_all(vec![record]);
        }
    }
}

fn carry_out(disk: &mut dyn Disk, operation: Operation<'_>) -> io::Result<()> {
    match operation {
        Operation::Create { segment, bytes, head } => disk.create(segment, bytes, &head),
        Operation::Write { segment, offset, bytes } => disk.write(segment, offset, bytes),
        Operation::Sync { segment } => disk.sync(segment),
        Operation::Delete { segment } => disk.delete(segment),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// An operation, for people.
struct Shown<'a>(Operation<'a>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, segment) = match self.0 {
            Operation::Create { segment, .. } => ("make", segment),
            Operation::Write { segment, .. } => ("write", segment),
            Operation::Sync { segment } => ("sync", segment),
            Operation::Delete { segment } => ("delete", segment),
        };
        write!(f, "{what} the log's file {}", offhook_core::log::segment::name(segment))
    }
}
