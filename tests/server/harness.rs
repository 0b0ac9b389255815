//! A server in a thread of its own, and what its application saw.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use frameloop::chat::{Echo, Hub};
use frameloop::protocol::{End, Limits, Message, Request, SharedFrame};
use frameloop::server::{App, BindError, Config, ConnId, Outbox, Server, Stopper};

use crate::stream;

/// What has not happened by then does not happen. No test waits so long unless it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A timeout that no test lives to see: what ends before [`DEADLINE`] did not wait for it.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

/// A server on a free port of the loopback interface. Dropped, it is stopped, and a panic of its thread shows.
pub(crate) struct Running {
    addresses: Vec<SocketAddr>,
    stopper: Stopper,
    result: Receiver<io::Result<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(config: Config, app: impl Seed) -> Running {
        Running::try_start(config, app).expect("the address can be listened on")
    }

    /// The server is bound and run in its thread, since it cannot be moved to another.
    pub(crate) fn try_start(config: Config, app: impl Seed) -> Result<Running, BindError> {
        // Both ends of a thousand connections are more than the soft limit of many systems.
        rlimit::increase_nofile_limit(u64::MAX).unwrap();
        let (bound, when_bound) = mpsc::channel();
        let (ended, result) = mpsc::channel();
        let thread = thread::spawn(move || match Server::bind(&config, app.grow()) {
            Ok(server) => {
                let stopper = server.stopper().expect("a descriptor is free");
                bound.send(Ok((server.addresses().to_vec(), stopper))).expect("the test waits for it");
                let _ = ended.send(server.run());
            }
            Err(error) => drop(bound.send(Err(error))),
        });
        let (addresses, stopper) = when_bound.recv_timeout(DEADLINE).expect("the server starts")?;
        Ok(Running { addresses, stopper, result, thread: Some(thread) })
    }

    pub(crate) fn echo(limits: Limits) -> Running {
        Running::start(config(limits), Echo)
    }

    pub(crate) fn hub(limits: Limits) -> Running {
        Running::start(config(limits), Late(Hub::default))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub(crate) fn stop(&self) {
        self.stopper.stop();
    }

    /// Whether the server still runs: its end is not waited for.
    pub(crate) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Waits for the end of the server, and returns what it ended with.
    pub(crate) fn wait(mut self) -> io::Result<()> {
        self.join().expect("the server has not ended before")
    }

    fn join(&mut self) -> Option<io::Result<()>> {
        let thread = self.thread.take()?;
        match self.result.recv_timeout(DEADLINE) {
            Ok(result) => {
                thread.join().expect("after its result the thread only ends");
                Some(result)
            }
            Err(RecvTimeoutError::Timeout) => panic!("the server does not stop"),
            Err(RecvTimeoutError::Disconnected) => panic!("the server panicked"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        self.stop(); // the second time it does not wait for those who do not answer
        if !thread::panicking() {
            let result = self.join().unwrap_or(Ok(()));
            result.expect("nothing that a peer does ends the server");
        }
    }
}

/// A server with these limits on a free port.
pub(crate) fn config(limits: Limits) -> Config {
    Config { listen: vec!["127.0.0.1:0".to_owned()], tls: stream::files(), limits, ..Config::default() }
}

/// What becomes an application in the thread of its server.
pub(crate) trait Seed: Send + 'static {
    type App: App;

    fn grow(self) -> Self::App;
}

impl<A: App + Send + 'static> Seed for A {
    type App = A;

    fn grow(self) -> A {
        self
    }
}

/// An application that cannot be moved to another thread, and is made there.
pub(crate) struct Late<F>(pub(crate) F);

impl<A: App, F: FnOnce() -> A + Send + 'static> Seed for Late<F> {
    type App = A;

    fn grow(self) -> A {
        self.0()
    }
}

/// What an application is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Opened(ConnId),
    Closed(ConnId, End),
}

impl Told {
    pub(crate) fn end(self) -> Option<End> {
        match self {
            Told::Opened(_) => None,
            Told::Closed(_, end) => Some(end),
        }
    }
}

/// Reports what the application in it is told.
pub(crate) struct Recorder<A> {
    app: A,
    told: Sender<Told>,
}

/// Records what an application is told.
pub(crate) fn recording<S: Seed>(app: S) -> (Late<impl FnOnce() -> Recorder<S::App> + Send + 'static>, Record) {
    let (told, record) = mpsc::channel();
    (Late(move || Recorder { app: app.grow(), told }), Record(record))
}

impl<A: App> App for Recorder<A> {
    fn on_open(&mut self, id: ConnId, request: &Request, out: &mut impl Outbox) {
        let _ = self.told.send(Told::Opened(id)); // a test that has seen enough listens no more
        self.app.on_open(id, request, out);
    }

    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        self.app.on_message(id, message, out);
    }

    fn on_close(&mut self, id: ConnId, end: &End, out: &mut impl Outbox) {
        self.app.on_close(id, end, out);
        let _ = self.told.send(Told::Closed(id, *end));
    }

    fn on_drained(&mut self, id: ConnId, out: &mut impl Outbox) {
        self.app.on_drained(id, out);
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.app.next_timeout()
    }

    fn on_timeout(&mut self, out: &mut impl Outbox) {
        self.app.on_timeout(out);
    }

    fn on_stop(&mut self, out: &mut impl Outbox) {
        self.app.on_stop(out);
    }
}

/// The other side of a [`Recorder`].
pub(crate) struct Record(Receiver<Told>);

impl Record {
    pub(crate) fn next(&self) -> Told {
        self.0.recv_timeout(DEADLINE).expect("the application is told of something")
    }

    /// The next end, whoever's it is.
    pub(crate) fn next_end(&self) -> End {
        std::iter::from_fn(|| Some(self.next())).find_map(Told::end).expect("it waits for one")
    }

    /// What is there and was not taken yet.
    pub(crate) fn so_far(&self) -> Vec<Told> {
        self.0.try_iter().collect()
    }
}

/// Sends to whoever says a number as many frames of [`Firehose::PAYLOAD_BYTES`]. They share their bytes, so that any
/// number of them can wait.
#[derive(Debug, Default)]
pub(crate) struct Firehose;

impl Firehose {
    pub(crate) const PAYLOAD_BYTES: usize = 64 * 1024;
}

impl App for Firehose {
    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        let count: usize = std::str::from_utf8(message.as_bytes()).unwrap().parse().unwrap();
        let frame = SharedFrame::text(&"x".repeat(Firehose::PAYLOAD_BYTES));
        for _ in 0..count {
            out.send_shared(id, &frame);
        }
    }
}
