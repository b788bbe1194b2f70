//! One shard's loop: tasks feed the adapter, the loop ends each turn with one step. No task writes to a socket.
//!
//! A turn: run the tasks that are ready (each reads its socket into the shard's one buffer and feeds the engine), take
//! one step (deadlines, actions, all writes), wait until a task is ready again or the engine's deadline comes.
//! The adapter is borrowed within a poll or a step, never across an `.await`.

use std::cell::RefCell;
use std::future::{self, Future};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::task::Poll;
use std::time::Duration;

use offhook_core::{ConnId, Mono};
use offhook_host::{ACCEPT_PAUSE, Acceptor, Clock, Shard};
use smol::{Async, LocalExecutor, Task, Timer};

use crate::adapter::{Adapter, Next};

/// Tasks that run before a step, so that writing has its turn while tasks keep getting ready.
const TURN_TASKS: usize = 1024;

/// Runs a shard until it is drained after a stop.
pub(crate) fn run(shard: Shard) -> io::Result<()> {
    let (adapter, acceptors) = Adapter::new(shard);
    // The executor is dropped first, and with it the tasks that borrow the adapter.
    let adapter = RefCell::new(adapter);
    let executor = LocalExecutor::new();
    smol::block_on(drive(&adapter, &executor, acceptors))
}

async fn drive<'a>(
    adapter: &'a RefCell<Adapter>,
    executor: &LocalExecutor<'a>,
    acceptors: Vec<Acceptor>,
) -> io::Result<()> {
    let _bell = executor.spawn(bell(adapter));
    let mut listeners = Vec::with_capacity(acceptors.len());
    for acceptor in acceptors {
        let readiness = Async::new_nonblocking(acceptor.as_fd().try_clone_to_owned()?)?;
        listeners.push(executor.spawn(listen(adapter, acceptor, readiness)));
    }
    let sockets = adapter.borrow().udp.iter().map(|udp| udp.as_fd().try_clone_to_owned()).collect::<Vec<_>>();
    let mut datagrams = Vec::with_capacity(sockets.len());
    for (at, socket) in sockets.into_iter().enumerate() {
        datagrams.push(executor.spawn(hear(adapter, at, Async::new_nonblocking(socket?)?)));
    }
    let mut alarm = Alarm::new(adapter.borrow().clock);
    loop {
        let ran = (0..TURN_TASKS).take_while(|_| executor.try_tick()).count();
        let next = adapter.borrow_mut().step(ran > 0);
        watch(adapter, executor);
        if adapter.borrow().port.stopping() {
            listeners.clear();
        }
        match next {
            Next::End => return Ok(()),
            // The reactor is asked for events between two turns, also when more work is known.
            Next::Turn => smol::future::yield_now().await,
            Next::Wait(_) if ran == TURN_TASKS => smol::future::yield_now().await,
            Next::Wait(deadline) => smol::future::or(executor.tick(), alarm.rings(deadline)).await,
        }
    }
}

/// Spawns a reader for each new connection, and a task that waits for each socket that was full.
fn watch<'a>(adapter: &'a RefCell<Adapter>, executor: &LocalExecutor<'a>) {
    let mut shard = adapter.borrow_mut();
    let shard = &mut *shard;
    for id in shard.accepted.drain(..) {
        if let Some(socket) = shard.sockets.get(id) {
            socket.reader = Some(reader(adapter, executor, id));
        }
    }
    for id in shard.full.drain(..) {
        if let Some(socket) = shard.sockets.get(id) {
            socket.writer = Some(writer(adapter, executor, id));
        }
    }
}

/// Two words of state per connection: the future is this closure.
fn reader<'a>(adapter: &'a RefCell<Adapter>, executor: &LocalExecutor<'a>, id: ConnId) -> Task<()> {
    executor.spawn(future::poll_fn(move |cx| adapter.borrow_mut().poll_read(id, cx)))
}

fn writer<'a>(adapter: &'a RefCell<Adapter>, executor: &LocalExecutor<'a>, id: ConnId) -> Task<()> {
    executor.spawn(future::poll_fn(move |cx| adapter.borrow_mut().poll_write(id, cx)))
}

/// A task that does nothing: waking it ends the loop's wait, and the step that follows takes the mail.
fn bell(adapter: &RefCell<Adapter>) -> impl Future<Output = ()> {
    let mut hung = false;
    future::poll_fn(move |cx| {
        if !hung {
            hung = true;
            let waker = cx.waker().clone();
            adapter.borrow_mut().port.on_mail(move || waker.wake_by_ref());
        }
        Poll::Pending
    })
}

/// Accepts connections. Readiness comes from a duplicate of the listening socket: smol lends what it watches for
/// reading only, and accepting changes the acceptor.
async fn listen(adapter: &RefCell<Adapter>, mut acceptor: Acceptor, readiness: Async<OwnedFd>) {
    loop {
        let ready = readiness.readable().await;
        let accepted = ready.and_then(|()| adapter.borrow_mut().accept(&mut acceptor));
        match accepted {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                Timer::after(ACCEPT_PAUSE).await;
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Takes datagrams. The budget ends a turn, and what is left keeps the socket readable.
async fn hear(adapter: &RefCell<Adapter>, at: usize, readiness: Async<OwnedFd>) {
    loop {
        match readiness.readable().await {
            Ok(()) => adapter.borrow_mut().receive_datagrams(at),
            Err(_) => {
                Timer::after(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One timer for the engine's deadline. It is set anew only when the deadline has moved forward: a deadline that was
/// put off lets it ring once for nothing, which is cheaper than the system call that setting it takes.
struct Alarm {
    clock: Clock,
    timer: Timer,
    at: Mono,
}

impl Alarm {
    fn new(clock: Clock) -> Alarm {
        Alarm { clock, timer: Timer::never(), at: Mono::NEVER }
    }

    async fn rings(&mut self, deadline: Option<Mono>) {
        if let Some(deadline) = deadline.filter(|deadline| *deadline < self.at) {
            // Our clock cuts to whole milliseconds, so this difference is rounded up already.
            self.timer.set_after(Duration::from_millis(deadline.since(self.clock.now().mono)));
            self.at = deadline;
        }
        (&mut self.timer).await;
        self.at = Mono::NEVER;
    }
}
