//! Whatever concerns no socket: the log's records, the metrics, the log lines, and the host's own wishes. One port
//! per shard, used by its loop alone; only [`Port::on_mail`]'s closure is called from other threads.

use std::collections::VecDeque;
use std::sync::Arc;

use offhook_core::hub::action::{Level, Note};
use offhook_core::log::record::Record;
use offhook_core::{Action, Completion, Engine, Mono, Now, Seq};

use crate::checker::Wanted;
use crate::log::reader;
use crate::mailbox::{Mail, Mailbox};
use crate::process::Process;
use crate::report::Collection;

/// Connections that one turn may write to while records gather; before the next one they go ([`Port::let_go`]).
pub const GATHERING_FLUSHES: usize = 128;

/// Records that go to the log's thread as soon as so many have gathered: shared by so many, the cost of a sync is small, and
/// the next ones gather while these are synced.
const GATHERED_RECORDS: usize = 24;

#[derive(Clone, Copy, Debug)]
struct Gathering {
    since: Mono,
    records: usize,
}

/// A shard's door to the rest of the process.
#[derive(Debug)]
pub struct Port {
    shard: usize,
    process: Arc<Process>,
    /// Mail between mailbox and engine; empty outside of the methods below, kept for its room.
    taken: VecDeque<Mail>,
    /// Appended records that wait for others to share their group.
    gathering: Option<Gathering>,
}

impl Port {
    pub(crate) fn new(shard: usize, process: Arc<Process>) -> Port {
        Port { shard, process, taken: VecDeque::new(), gathering: None }
    }

    /// Names what wakes the loop; it is called from other threads when mail arrives, and at once if some is there.
    ///
    /// # Panics
    /// If the loop has named one before.
    pub fn on_mail(&mut self, wake: impl Fn() + Send + Sync + 'static) {
        self.mailbox().on_mail(Box::new(wake));
    }

    /// Whether mail waits. One atomic load.
    #[must_use]
    pub fn has_mail(&self) -> bool {
        self.mailbox().has_mail()
    }

    /// Gives the engine the records and completions that wait, in their order. The loop calls it when it was woken,
    /// and between a read from a socket and [`Engine::receive`] of those bytes: so a request never meets an engine
    /// that has not applied what another shard acknowledged before the request was sent.
    pub fn take_mail(&mut self, now: Now, engine: &mut Engine) {
        self.process.mailbox(self.shard).take(&mut self.taken);
        self.apply_taken(now, engine);
    }

    /// Carries out whatever concerns no socket: an append, a read, a look-up, a check, a report, a line for a log.
    ///
    /// # Panics
    /// On the actions that concern a socket: those are the runtime's.
    pub fn carry_out(&mut self, now: Now, engine: &mut Engine, action: Action) {
        match action {
            Action::Append(records) => self.append(now, engine, records),
            Action::Read { ticket, from, bytes } => {
                self.read(now, engine, reader::Wanted { shard: self.shard, ticket, from, bytes })
            }
            Action::Report(ticket) => self.report(now, engine, ticket),
            Action::Note(note) => write_note(&note),
            Action::Resolve(ticket, host, share) => {
                self.process.resolver.ask(&self.process, self.shard, ticket, host, share);
            }
            Action::Check { ticket, hash, password } => {
                let wanted = Wanted { shard: self.shard, ticket, hash, password };
                self.process.checker.ask(&self.process, wanted);
            }
            Action::Audit(line) => self.process.audit.write(&line),
            Action::Send { .. } => panic!("a datagram is sent by the runtime, which owns the socket"),
            Action::Flush(id) | Action::Finish(id) | Action::Close(id) | Action::Dial(id, _) => {
                panic!(
                    "connection {id}: a socket's actions are carried out by the runtime, which owns the socket"
                )
            }
        }
    }

    /// Before the runtime has the shard: what the engine has to say of its start goes into the log, so that it stands
    /// there before the first request.
    pub(crate) fn begin(&mut self, now: Now, engine: &mut Engine) {
        self.take_mail(now, engine);
        while let Some(records) = engine.poll_append() {
            self.append(now, engine, records);
        }
        self.let_go();
    }

    /// Whether appended records wait for others to share their group: then the loop looks for input without waiting,
    /// and calls [`Port::gather`] with what it found.
    #[must_use]
    pub fn is_gathering(&self) -> bool {
        self.gathering.is_some()
    }

    /// At the begin of a turn: lets the log's thread have what has gathered, unless there is input at hand and it has
    /// gathered for less than a millisecond. So a busy loop is not cut short by the thread that it wakes, and a sync
    /// carries more.
    pub fn gather(&mut self, now: Now, input: bool) {
        if self.gathering.is_some_and(|gathering| !input || gathering.since < now.mono) {
            self.let_go();
        }
    }

    /// Lets the log's thread have what has gathered; nothing if nothing has. A turn that has long to write calls it
    /// first, and the thread works meanwhile.
    pub fn let_go(&mut self) {
        if self.gathering.take().is_some() {
            self.process.log.let_go();
        }
    }

    /// Whether a stop was asked; the loop then drops its acceptors, and ends when the engine is drained.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.process.stopping()
    }

    fn append(&mut self, now: Now, engine: &mut Engine, records: Vec<Record>) {
        let (first, batch) = self.process.log.append(self.shard, records, &mut self.taken);
        self.apply_taken(now, engine);
        receive_batch(now, engine, first, &batch);
        if self.process.log.keeps() {
            let gathering = self.gathering.get_or_insert(Gathering { since: now.mono, records: 0 });
            gathering.records += batch.len();
            if gathering.records >= GATHERED_RECORDS {
                self.let_go();
            }
        } else if let Some(last) = (first.0 + batch.len() as u64).checked_sub(1) {
            // Nothing is kept, so everything is as durable as it will ever be.
            engine.complete(now, Completion::Durable(Seq(last)));
        }
    }

    fn read(&mut self, now: Now, engine: &mut Engine, wanted: reader::Wanted) {
        match self.process.reader.get() {
            Some(reader) => reader.ask(wanted),
            None => {
                let reader::Wanted { ticket, from, .. } = wanted;
                engine.complete(now, Completion::Read { ticket, start: from, records: Vec::new() });
            }
        }
    }

    fn report(&mut self, now: Now, engine: &mut Engine, ticket: u64) {
        let collection = Arc::new(Collection::new(self.shard, ticket, self.process.log.mailboxes().len()));
        self.process.collect(&collection);
        self.answer(engine, &collection);
        // Alone, or last, the document is there already.
        self.take_mail(now, engine);
    }

    fn answer(&self, engine: &Engine, collection: &Collection) {
        self.process.snapshots.put(self.shard, engine.stats());
        self.process.answered(collection);
    }

    fn apply_taken(&mut self, now: Now, engine: &mut Engine) {
        while let Some(mail) = self.taken.pop_front() {
            match mail {
                Mail::Records(first, batch) => receive_batch(now, engine, first, &batch),
                Mail::Completion(done) => engine.complete(now, done),
                Mail::Collect(collection) => self.answer(engine, &collection),
            }
        }
    }

    fn mailbox(&self) -> &Mailbox {
        self.process.mailbox(self.shard)
    }
}

impl Drop for Port {
    /// The shard has ended. Whoever waits for its counters gets its last copy; if it ended by a panic, the others
    /// stop.
    fn drop(&mut self) {
        for mail in self.mailbox().close() {
            if let Mail::Collect(collection) = mail {
                self.process.answered(&collection);
            }
        }
        if std::thread::panicking() {
            self.process.stop();
        }
    }
}

fn receive_batch(now: Now, engine: &mut Engine, first: Seq, batch: &[Arc<Record>]) {
    let mut seq = first;
    for record in batch {
        engine.receive_record(now, seq, record);
        seq = seq.next();
    }
}

fn write_note(note: &Note) {
    match note.level {
        Level::Warn => tracing::warn!("{}", note.text),
        Level::Info => tracing::info!("{}", note.text),
        Level::Debug => tracing::debug!("{}", note.text),
    }
}
