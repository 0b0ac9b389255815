//! Child processes that cannot be left behind, with what they print line by line, and waits that have an end.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Time for what must happen. Only a failure takes so long, so it is ample for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a free port of 127.0.0.1, with these arguments besides.
pub(crate) fn start(args: &[&str]) -> Child {
    Child::spawn(server().args(["--listen", "127.0.0.1:0"]).args(args))
}

/// The command that runs the binary.
pub(crate) fn server() -> Command {
    Command::new(env!("CARGO_BIN_EXE_frameloop"))
}

/// A process that is killed when its handle goes.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

impl Child {
    /// Starts a process; what it prints is collected.
    pub(crate) fn spawn(command: &mut Command) -> Child {
        let (mut child, stderr) = Child::spawn_unread(command);
        child.stderr = Lines::collect(stderr);
        child
    }

    /// Starts a process whose standard error nobody reads: the reader's end of the pipe is handed out.
    pub(crate) fn spawn_unread(command: &mut Command) -> (Child, ChildStderr) {
        let mut child = Child::spawn_with_stderr(command, Stdio::piped());
        let stderr = child.process.stderr.take().unwrap();
        (child, stderr)
    }

    /// Starts a process with a standard error of a kind of its own.
    pub(crate) fn spawn_with_stderr(command: &mut Command, stderr: Stdio) -> Child {
        let result = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).spawn();
        let mut process = result.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdout = Lines::collect(process.stdout.take().unwrap());
        Child { process, stdout, stderr: Lines::none() }
    }

    /// Starts a process whose standard output is of a kind of its own.
    pub(crate) fn spawn_with_stdout(command: &mut Command, stdout: Stdio) -> Child {
        let mut process = command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        drop(process.stdout.take()); // of a pipe, the reader's end
        let stderr = Lines::collect(process.stderr.take().unwrap());
        Child { process, stdout: Lines::none(), stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next address that the server says it listens on.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.stdout.next();
        let address = line.strip_prefix("listening on ws://").and_then(|rest| rest.strip_suffix('/'));
        address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("{line:?} names no address"))
    }

    /// Writes a line to its standard input.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends its standard input.
    pub(crate) fn hang_up(&mut self) -> Option<ChildStdin> {
        self.process.stdin.take()
    }

    /// Sends a signal, such as `TERM`. The process is ours and not reaped, so its id is no other's.
    pub(crate) fn signal(&mut self, signal: &str) {
        assert_eq!(self.process.try_wait().unwrap(), None, "it has ended before the signal");
        let id = self.id().to_string();
        let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &id]).status().unwrap();
        assert!(status.success(), "kill -s {signal} {id}: {status}");
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_until("the process ends", || self.process.try_wait().unwrap())
    }

    /// `SIGTERM`, and nothing but a clean end is right.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        assert_eq!(self.wait().code(), Some(0), "SIGTERM");
    }

    /// `SIGKILL`, and the end.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.wait();
    }

    /// The time of the processor that the process has used so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        // The name of the program stands in parentheses; utime and stime are fields 14 and 15, in 1/100 s.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..=12].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * ticks)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The lines of a pipe, collected by a thread from the start, so that the process never waits for the test.
#[derive(Debug)]
pub(crate) struct Lines {
    lines: Receiver<String>,
}

impl Lines {
    pub(crate) fn collect(pipe: impl Read + Send + 'static) -> Lines {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            // Split at line feeds only: another line end would have to show.
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        Lines { lines }
    }

    /// The lines of nothing.
    fn none() -> Lines {
        Lines { lines: mpsc::channel().1 }
    }

    /// The next line, which must come.
    pub(crate) fn next(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no line comes: {error}"))
    }

    /// The next line, if one comes in this time.
    pub(crate) fn next_within(&mut self, time: Duration) -> Option<String> {
        self.lines.recv_timeout(time).ok()
    }

    /// All lines up to the end, which must come.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => return lines,
                Err(RecvTimeoutError::Timeout) => panic!("the pipe does not end after {lines:?}"),
            }
        }
    }
}

/// Looks again and again until there is a result. For what no event tells; where one does, the test waits for that.
pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let (_never, ticks) = mpsc::channel::<()>();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(result) = look() {
            return result;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        let _ = ticks.recv_timeout(Duration::from_millis(2));
    }
}

/// A port at which nobody listens, neither on 127.0.0.1 nor on ::1; below those that the system gives away by itself,
/// so that it stays free between two servers.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    // Asked by connecting, not by listening: a process that is being started at this moment inherits all that is open
    // until its program runs, and would keep a listener of ours alive.
    let is_free = |port| ["127.0.0.1", "::1"].iter().all(|host| TcpStream::connect((*host, port)).is_err());
    (0..2_000).map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed)).find(|&port| is_free(port)).expect("a free port")
}

/// Whether this machine has ::1.
pub(crate) fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}
