//! TCP on mio: the real [`Net`].
//!
//! mio is always edge-triggered, and a connection is registered once. Listeners are made with socket2, for their
//! backlog, and give `TCP_NODELAY` and `TCP_NOTSENT_LOWAT` to what they accept.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::app::App;
use super::bell::{Bell, Reloader, Stopper};
use super::net::{Net, Ready};
use super::transport::{Certificate, Stream};
use super::{Config, Server};
use crate::protocol::Compression;

/// Listeners, a poll and the clock of the system.
#[derive(Debug)]
pub struct Tcp {
    poll: Poll,
    events: Events,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    /// Of each listener.
    schemes: Vec<Scheme>,
    certificate: Certificate,
    stop: Bell,
    reload: Bell,
    /// A descriptor in reserve, so that even without a free one a peer can be told so.
    spare: Option<File>,
}

impl Tcp {
    /// Listens on every address that each of the names in [`Config::listen`] resolves to.
    ///
    /// # Errors
    /// [`BindError`] with the first name that is no address, or that cannot be listened on; or with the file of a
    /// certificate that cannot be used.
    pub fn bind(config: &Config) -> Result<Tcp, BindError> {
        let names = &config.listen;
        let fail = |name: &str, error| BindError { name: name.to_owned(), error };
        if names.is_empty() {
            return Err(fail("nothing", io::Error::new(ErrorKind::InvalidInput, "no address was given")));
        }
        if config.compression != Compression::Off && !Compression::IS_THERE {
            let problem = "this build cannot compress; build it with `cargo build --release --features deflate`";
            return Err(fail(&names.join(" "), io::Error::other(problem)));
        }
        let certificate = Certificate::load(config.tls.as_ref()).map_err(|error| fail(&names.join(" "), error))?;
        let (mut sockets, mut schemes) = (Vec::new(), Vec::new());
        for name in names {
            let (scheme, host) = split_scheme(name, certificate.is_there()).map_err(|error| fail(name, error))?;
            sockets.extend(listen(host, config).map_err(|error| fail(name, error))?);
            schemes.resize(sockets.len(), scheme);
        }
        Tcp::with_sockets(sockets, schemes, certificate).map_err(|error| fail(&names.join(" "), error))
    }

    fn with_sockets(sockets: Vec<Socket>, schemes: Vec<Scheme>, certificate: Certificate) -> io::Result<Tcp> {
        let poll = Poll::new()?;
        let (stop, reload) = (Bell::new(&poll, STOP)?, Bell::new(&poll, RELOAD)?);
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        for (index, socket) in sockets.into_iter().enumerate() {
            let mut listener = TcpListener::from_std(socket.into());
            poll.registry().register(&mut listener, Token(LISTENER.0 - index), Interest::READABLE)?;
            addresses.push(listener.local_addr()?);
            listeners.push(listener);
        }
        let events = Events::with_capacity(EVENTS_PER_TURN);
        let spare = reserve().ok();
        Ok(Tcp { poll, events, listeners, addresses, schemes, certificate, stop, reload, spare })
    }

    /// The addresses that are listened on, with their real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The same as URLs, such as `wss://127.0.0.1:8765/`.
    pub fn urls(&self) -> impl Iterator<Item = String> {
        self.addresses.iter().zip(&self.schemes).map(|(address, scheme)| format!("{}{address}/", scheme.prefix()))
    }

    /// A handle that stops the server from elsewhere.
    ///
    /// # Errors
    /// If there is no descriptor for it.
    pub fn stopper(&self) -> io::Result<Stopper> {
        self.stop.stopper()
    }

    /// A handle that lets the server read its files again.
    ///
    /// # Errors
    /// If there is no descriptor for it.
    pub fn reloader(&self) -> io::Result<Reloader> {
        self.reload.reloader()
    }
}

impl<A: App> Server<A> {
    /// Listens on all addresses of the configuration.
    ///
    /// # Errors
    /// If one of the names is no address, or cannot be listened on, or if the certificate cannot be used.
    pub fn bind(config: &Config, app: A) -> Result<Server<A>, BindError> {
        Ok(Server::with_net(Tcp::bind(config)?, config, app))
    }

    /// The addresses that are listened on, with their real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.net.addresses()
    }

    /// The same as URLs, such as `wss://127.0.0.1:8765/`.
    pub fn urls(&self) -> impl Iterator<Item = String> {
        self.net.urls()
    }

    /// A handle that stops the server from another thread or a signal handler.
    ///
    /// # Errors
    /// If there is no descriptor for it.
    pub fn stopper(&self) -> io::Result<Stopper> {
        self.net.stopper()
    }

    /// A handle that lets the server read its files again, from another thread or a signal handler.
    ///
    /// # Errors
    /// If there is no descriptor for it.
    pub fn reloader(&self) -> io::Result<Reloader> {
        self.net.reloader()
    }
}

impl Net for Tcp {
    type Transport = Stream;

    fn poll(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()), // a signal, a debugger
            result => result?,
        }
        let listener_count = self.listeners.len();
        ready.extend(self.events.iter().map(|event| match event.token() {
            STOP => Ready::Stop,
            RELOAD => Ready::Reload,
            Token(token) if token > LISTENER.0 - listener_count => Ready::Listener(LISTENER.0 - token),
            Token(key) => Ready::Peer {
                key,
                is_readable: event.is_readable() || event.is_error(),
                is_read_closed: event.is_read_closed() || event.is_error(),
                is_writable: event.is_writable(),
            },
        }));
        Ok(())
    }

    fn now(&mut self) -> Instant {
        Instant::now()
    }

    fn accept(&mut self, listener: usize) -> io::Result<(Stream, SocketAddr)> {
        let (socket, address) = self.listeners.get(listener).ok_or(ErrorKind::WouldBlock)?.accept()?;
        let stream = match self.schemes[listener] {
            Scheme::Ws => Stream::Plain(socket),
            Scheme::Wss => self.certificate.secure(socket)?,
        };
        Ok((stream, address))
    }

    fn is_loopback(&self, listener: usize) -> bool {
        self.addresses.get(listener).is_some_and(|address| address.ip().is_loopback())
    }

    fn refuse_next(&mut self, listener: usize, refuse: impl FnOnce(Stream)) -> io::Result<SocketAddr> {
        let spare = self.spare.take().or_else(|| reserve().ok()).ok_or(ErrorKind::OutOfMemory)?;
        drop(spare);
        let accepted = self.accept(listener).map(|(transport, address)| {
            refuse(transport);
            address
        });
        self.spare = reserve().ok();
        accepted
    }

    fn register(&mut self, transport: &mut Stream, key: usize) -> io::Result<()> {
        self.poll.registry().register(transport.socket_mut(), Token(key), Interest::READABLE | Interest::WRITABLE)
    }

    fn stop_requests(&mut self) -> usize {
        self.stop.rings()
    }

    fn stop_listening(&mut self) {
        self.listeners.clear();
    }

    fn reload(&mut self) {
        if self.reload.rings() > 0 {
            self.certificate.reload();
        }
    }
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Ws,
    Wss,
}

impl Scheme {
    fn prefix(self) -> &'static str {
        match self {
            Scheme::Ws => "ws://",
            Scheme::Wss => "wss://",
        }
    }
}

/// What to speak at a name of [`Config::listen`], and the name without it.
fn split_scheme(name: &str, has_certificate: bool) -> io::Result<(Scheme, &str)> {
    for scheme in [Scheme::Ws, Scheme::Wss] {
        let Some(host) = name.strip_prefix(scheme.prefix()) else { continue };
        if scheme == Scheme::Wss && !has_certificate {
            let problem = "wss:// needs a certificate and its key; give --tls-cert and --tls-key";
            return Err(io::Error::new(ErrorKind::InvalidInput, problem));
        }
        return Ok((scheme, host.strip_suffix('/').unwrap_or(host)));
    }
    Ok((if has_certificate { Scheme::Wss } else { Scheme::Ws }, name))
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address as it was given.
    pub name: String,
    /// What the system says.
    pub error: io::Error,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let BindError { name, error } = self;
        match error.kind() {
            ErrorKind::AddrInUse => write!(f, "cannot listen on {name}: the address is in use"),
            ErrorKind::PermissionDenied => write!(f, "cannot listen on {name}: permission denied"),
            ErrorKind::AddrNotAvailable => write!(f, "cannot listen on {name}: it is no address of this machine"),
            _ => write!(f, "cannot listen on {name}: {error}"),
        }
    }
}

impl std::error::Error for BindError {}

/// Listens on all addresses of a name, on one port. Where the machine lacks one of the address families (a container
/// without IPv6), the others are enough.
fn listen(name: &str, config: &Config) -> io::Result<Vec<Socket>> {
    let mut addresses = resolve(name)?;
    addresses.sort_unstable();
    addresses.dedup();
    for _ in 0..PORT_ATTEMPTS {
        match listen_on_one_port(&addresses, config) {
            // Port 0: the port that was free for the first address is taken for the second. Try another.
            Err(error) if error.kind() == ErrorKind::AddrInUse && addresses.iter().all(|a| a.port() == 0) => {}
            result => return result,
        }
    }
    listen_on_one_port(&addresses, config)
}

/// The addresses of a name. RFC 6761 §6.3: `localhost` is both loopback addresses, whatever a hosts file says; browsers
/// try both.
fn resolve(name: &str) -> io::Result<Vec<SocketAddr>> {
    match name.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) if host.eq_ignore_ascii_case("localhost") => {
            Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()])
        }
        _ => name.to_socket_addrs().map(Iterator::collect),
    }
}

fn listen_on_one_port(addresses: &[SocketAddr], config: &Config) -> io::Result<Vec<Socket>> {
    let (mut sockets, mut port, mut missing) = (Vec::new(), None, None);
    for &address in addresses {
        let mut address = address;
        if address.port() == 0 {
            address.set_port(port.unwrap_or(0));
        }
        match listen_on(address, config) {
            Ok(socket) => {
                port = socket.local_addr()?.as_socket().map(|address| address.port());
                sockets.push(socket);
            }
            Err(error) if is_family_missing(&error) => missing = Some((address, error)),
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some((_, error)) if sockets.is_empty() => return Err(error),
        Some((address, error)) => log::warn!("not listening on {address}: {error}"),
        None if sockets.is_empty() => return Err(io::Error::new(ErrorKind::NotFound, "the name has no address")),
        None => {}
    }
    Ok(sockets)
}

fn listen_on(address: SocketAddr, config: &Config) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?; // IPv4 has a listener of its own
    }
    socket.set_reuse_address(true)?; // a restart must not wait for the connections of the server before
    if config.reuse_port {
        socket.set_reuse_port(true)?;
    }
    // What is accepted inherits these two: no system call for each connection.
    socket.set_tcp_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(bytes) = config.unsent_bytes_max {
        socket.set_tcp_notsent_lowat(bytes)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// A descriptor to hold in reserve.
fn reserve() -> io::Result<File> {
    File::open("/dev/null")
}

fn is_family_missing(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no kind of its own; for a name like localhost it comes with "Address family not supported".
    error.kind() == ErrorKind::AddrNotAvailable
        || error.kind() == ErrorKind::Unsupported
        || error.raw_os_error() == Some(97)
}

const STOP: Token = Token(usize::MAX - 1);
const RELOAD: Token = Token(usize::MAX - 2);
/// The first listener; the others count down from it. mio keeps `usize::MAX` for itself.
const LISTENER: Token = Token(usize::MAX - 3);

/// Events that one turn handles. Few enough that what a turn touches stays in the processor's cache.
pub(super) const EVENTS_PER_TURN: usize = 256;

/// Connections that the system holds until they are accepted. Linux cuts it to `net.core.somaxconn`, 4096 by default.
const BACKLOG: i32 = 4096;

/// How often another free port is tried for a name with several addresses.
const PORT_ATTEMPTS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::net::Transport;
    use std::io::Read as _;
    use std::net::TcpStream as Client;

    fn listen_on_port(port: u16, config: Config) -> Result<Tcp, BindError> {
        Tcp::bind(&Config { listen: vec![format!("127.0.0.1:{port}")], ..config })
    }

    fn listen_anywhere() -> Tcp {
        listen_on_port(0, Config::default()).unwrap()
    }

    #[test]
    fn what_is_accepted_sends_at_once() {
        let mut tcp = listen_anywhere();
        let _client = Client::connect(tcp.addresses()[0]).unwrap();
        let (mut stream, _) = tcp.accept(0).unwrap();
        assert!(stream.socket_mut().nodelay().unwrap(), "it inherits TCP_NODELAY from its listener");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_takes_little_more_than_a_peer_has_room_for_if_the_configuration_says_so() {
        let accepted = [None, Some(64 * 1024)].map(|unsent_bytes_max| {
            let mut tcp = listen_on_port(0, Config { unsent_bytes_max, ..Config::default() }).unwrap();
            // A peer with little room, which reads nothing.
            let client = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
            client.set_recv_buffer_size(4096).unwrap();
            client.connect(&tcp.addresses()[0].into()).unwrap();
            let (mut stream, _) = tcp.accept(0).unwrap();
            let mut written = 0;
            while let Ok(count @ 1..) = Transport::write(&mut stream, &[0; 4096]) {
                written += count;
            }
            written
        });
        assert!(accepted[1] < 128 * 1024 && accepted[0] > 4 * accepted[1], "{accepted:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_last_bytes_leave_with_the_end() {
        let mut tcp = listen_anywhere();
        let mut waited = false;
        for _ in 0..10 {
            let mut client = Client::connect(tcp.addresses()[0]).unwrap();
            let (mut stream, _) = tcp.accept(0).unwrap();
            assert_eq!(stream.write_last(b"the end").unwrap(), 7);
            client.set_nonblocking(true).unwrap();
            // The system would send them after a while, which can be over on a machine that stands still.
            waited |= client.peek(&mut [0; 7]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            stream.shutdown_write().unwrap();
            client.set_nonblocking(false).unwrap();
            let mut received = Vec::new();
            client.read_to_end(&mut received).unwrap();
            assert_eq!(received, b"the end");
        }
        assert!(waited);
    }

    #[test]
    fn the_last_bytes_for_a_peer_that_is_gone_are_an_error_and_no_signal() {
        let mut tcp = listen_anywhere();
        drop(Client::connect(tcp.addresses()[0]).unwrap());
        let (mut stream, _) = tcp.accept(0).unwrap();
        stream.shutdown_write().unwrap();
        assert_eq!(stream.write_last(b"the end").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_thousand_connections_can_wait_at_the_door() {
        let mut tcp = listen_anywhere();
        let timeout = Duration::from_secs(10);
        // Nobody accepts them: with a short backlog the system would leave the later ones without an answer.
        let clients: Vec<Client> =
            (0..1000).map(|_| Client::connect_timeout(&tcp.addresses()[0], timeout).unwrap()).collect();
        let accepted = clients.iter().filter(|_| tcp.accept(0).is_ok()).count();
        assert_eq!(accepted, 1000);
    }

    #[test]
    fn several_listen_on_one_port_only_if_all_of_them_say_so() {
        let listen = |port, reuse_port| listen_on_port(port, Config { reuse_port, ..Config::default() });
        let mut first = listen(0, true).unwrap();
        let port = first.addresses()[0].port();
        let mut second = listen(port, true).unwrap();
        assert_eq!(listen(port, false).unwrap_err().error.kind(), ErrorKind::AddrInUse);
        let _clients: Vec<Client> = (0..200).map(|_| Client::connect(first.addresses()[0]).unwrap()).collect();
        let accepted = [&mut first, &mut second].map(|tcp| (0..200).filter(|_| tcp.accept(0).is_ok()).count());
        assert_eq!(accepted[0] + accepted[1], 200);
        assert!(accepted.iter().all(|&count| count > 20), "the system deals them out: {accepted:?}");
        let alone = listen_anywhere();
        assert_eq!(listen(alone.addresses()[0].port(), true).unwrap_err().error.kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn a_server_without_an_address_is_refused() {
        assert_eq!(
            Tcp::bind(&Config { listen: vec![], ..Config::default() }).unwrap_err().to_string(),
            "cannot listen on nothing: no address was given"
        );
    }

    #[test]
    fn localhost_is_both_loopback_addresses() {
        let addresses = resolve("LocalHost:80").unwrap();
        assert_eq!(addresses, ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()]);
        assert_eq!(resolve("127.0.0.1:1").unwrap(), ["127.0.0.1:1".parse().unwrap()]);
        assert!(resolve("localhost:x").is_err());
    }

    #[test]
    fn the_next_connection_is_refused_with_the_descriptor_in_reserve_which_is_kept_again() {
        let mut tcp = listen_anywhere();
        for _ in 0..3 {
            let client = Client::connect(tcp.addresses()[0]).unwrap();
            let address = tcp.refuse_next(0, drop).unwrap();
            assert_eq!(address, client.local_addr().unwrap());
            assert!(tcp.spare.is_some());
        }
        assert_eq!(tcp.refuse_next(0, drop).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(tcp.spare.is_some());
    }
}
