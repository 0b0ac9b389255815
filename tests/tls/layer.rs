//! TLS over a transport that a test holds in its hands: what a read and a write may say of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::rc::Rc;
use std::time::{Duration, Instant};

use frameloop::server::net::{Behind, Transport};
use frameloop::server::tls::{Acceptor, Tls};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, SupportedProtocolVersion};

use crate::files::{FIRST, Pair, SECOND, client_config};

/// A socket: what is on its way in both directions, and how much more fits.
#[derive(Debug, Default)]
struct Wire {
    inbound: VecDeque<u8>,
    outbound: Vec<u8>,
    room: usize,
    is_shut: bool,
}

#[derive(Debug, Clone, Default)]
struct Socket(Rc<RefCell<Wire>>);

impl Transport for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        if wire.inbound.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { wire.inbound.read(buffer) }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        let count = bytes.len().min(wire.room);
        wire.room -= count;
        wire.outbound.extend_from_slice(&bytes[..count]);
        if count == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.write(first.map_or(&[], |slice| slice))
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.borrow_mut().is_shut = true;
        Ok(())
    }
}

/// Both ends of a connection, after the handshake.
struct Ends {
    server: Tls<Socket>,
    socket: Socket,
    client: ClientConnection,
}

fn connected(version: &'static SupportedProtocolVersion) -> Ends {
    connect_to(&Acceptor::load(&FIRST.files()).unwrap(), version)
}

fn connect_to(acceptor: &Acceptor, version: &'static SupportedProtocolVersion) -> Ends {
    let socket = Socket::default();
    let server = acceptor.accept(socket.clone()).unwrap();
    let mut client = ClientConnection::new(client_config(&[version]), "localhost".try_into().unwrap()).unwrap();
    client.set_buffer_limit(None);
    let mut ends = Ends { server, socket, client };
    ends.socket.0.borrow_mut().room = usize::MAX;
    while ends.client.is_handshaking() || !ends.server.is_connected() {
        assert_eq!(ends.server.write(b"too early").unwrap_err().kind(), ErrorKind::WouldBlock);
        ends.send();
        assert_eq!(ends.read(100).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(ends.receive(), b"");
    }
    ends
}

impl Ends {
    /// What the client has to say is at the server's socket.
    fn send(&mut self) {
        let mut wire = self.socket.0.borrow_mut();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire.inbound).unwrap();
        }
    }

    /// What the client reads of all that is on the wire.
    fn receive(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.socket.0.borrow_mut().outbound);
        let (mut left, mut plaintext) = (&bytes[..], Vec::new());
        while !left.is_empty() {
            self.client.read_tls(&mut left).unwrap();
            self.client.process_new_packets().unwrap();
            let _ = self.client.reader().read_to_end(&mut plaintext); // it ends with WouldBlock
        }
        plaintext
    }

    /// What the server reads with such a buffer.
    fn read(&mut self, size: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; size];
        self.server.read(&mut buffer).map(|count| buffer[..count].to_vec())
    }

    fn say(&mut self, bytes: &[u8]) {
        self.client.writer().write_all(bytes).unwrap();
        self.send();
    }

    fn set_room(&self, room: usize) {
        self.socket.0.borrow_mut().room = room;
    }
}

#[test]
fn the_last_byte_counts_as_written_when_all_ciphertext_is_on_the_socket() {
    for version in [&TLS12, &TLS13] {
        let mut ends = connected(version);
        ends.set_room(50);
        let message = [7; 100];
        assert_eq!(ends.server.write(&message).unwrap(), 99);
        assert_eq!(ends.server.write(&message[99..]).unwrap_err().kind(), ErrorKind::WouldBlock);
        ends.set_room(usize::MAX);
        ends.server.flush().unwrap();
        assert_eq!(ends.receive(), message, "flush brings it out");
        assert_eq!(ends.server.write(&message[99..]).unwrap(), 1);
        assert_eq!(ends.receive(), b"", "it was sent once");

        // With more behind it, and in slices.
        ends.set_room(50);
        assert_eq!(ends.server.write_vectored(&[IoSlice::new(b"one"), IoSlice::new(&message)]).unwrap(), 102);
        ends.set_room(usize::MAX);
        let slices = [IoSlice::new(&message[99..]), IoSlice::new(b"two"), IoSlice::new(b"three")];
        assert_eq!(ends.server.write_vectored(&slices).unwrap(), 9);
        assert_eq!(ends.receive(), [b"one", &message[..], b"two", b"three"].concat());

        // A single byte is not taken at all before that.
        ends.set_room(10);
        assert_eq!(ends.server.write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
        ends.set_room(usize::MAX);
        assert_eq!(ends.server.write(b"xy").unwrap(), 2);
        assert_eq!(ends.receive(), b"xy");
    }
}

#[test]
fn a_full_socket_holds_up_one_record_and_no_more() {
    let mut ends = connected(&TLS13);
    ends.set_room(100_000);
    let message = vec![7; 1 << 20];
    let taken = ends.server.write(&message).unwrap();
    let sent = ends.receive().len();
    assert!((80_000..100_000).contains(&sent), "{sent}");
    assert!((sent..=sent + 16 * 1024).contains(&taken), "{taken} of which {sent} are on the wire");
    ends.set_room(usize::MAX);
    assert_eq!(ends.server.write(&message[taken..]).unwrap(), message.len() - taken);
    assert_eq!(ends.receive().len() + sent, message.len());
}

#[test]
fn a_read_takes_all_that_is_there_or_fills_its_buffer() {
    for version in [&TLS12, &TLS13] {
        let mut ends = connected(version);
        let message: Vec<u8> = (0..100_000).map(|i| i as u8).collect();
        ends.say(&message);
        let mut received = ends.read(10).unwrap();
        received.extend(ends.read(1000).unwrap());
        assert_eq!(received.len(), 1010);
        received.extend(ends.read(200_000).unwrap());
        assert!(received == message, "{} bytes", received.len());
        assert_eq!(ends.server.behind(), Behind::Nothing);
        assert_eq!(ends.read(10).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn an_end_or_an_error_behind_bytes_is_announced_and_comes_with_the_next_read() {
    for version in [&TLS12, &TLS13] {
        let mut ends = connected(version);
        ends.say(b"last");
        ends.client.send_close_notify();
        ends.send();
        assert_eq!(ends.read(100).unwrap(), b"last");
        assert_eq!(ends.server.behind(), Behind::End);
        assert_eq!(ends.read(100).unwrap(), b"");

        let mut ends = connected(version);
        ends.say(b"last");
        ends.socket.0.borrow_mut().inbound.extend([23, 3, 3, 0, 40].into_iter().chain([7; 40]));
        assert_eq!(ends.read(100).unwrap(), b"last");
        assert_eq!(ends.server.behind(), Behind::End);
        assert_eq!(ends.server.write(b"no more").unwrap_err().kind(), ErrorKind::WouldBlock);
        let error = ends.read(100).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::InvalidData, "cannot decrypt peer's message")
        );
        assert!(ends.socket.0.borrow().is_shut, "behind the alert");
    }
}

#[test]
fn records_of_a_byte_each_use_up_a_share_as_full_ones_do() {
    let mut ends = connected(&TLS13);
    for _ in 0..20_000 {
        ends.client.writer().write_all(b"x").unwrap();
    }
    ends.send();
    let wire_bytes = ends.socket.0.borrow().inbound.len();
    let mut received = ends.read(100_000).unwrap().len();
    assert_eq!(ends.server.behind(), Behind::More);
    let taken = wire_bytes - ends.socket.0.borrow().inbound.len();
    assert!(taken < 200_000, "{taken} bytes of the wire for a buffer of 100,000");
    while ends.server.behind() == Behind::More {
        received += ends.read(100_000).unwrap().len();
    }
    assert_eq!(received, 20_000);
}

#[test]
fn the_end_of_the_own_side_waits_for_what_is_before_it() {
    let mut ends = connected(&TLS13);
    ends.set_room(5);
    ends.server.shutdown_write().unwrap();
    assert!(!ends.socket.0.borrow().is_shut, "close_notify is not out");
    ends.set_room(usize::MAX);
    ends.server.flush().unwrap();
    assert!(ends.socket.0.borrow().is_shut);
    ends.receive();
    assert_eq!(ends.client.reader().read(&mut [0]).unwrap(), 0, "close_notify");
}

#[test]
fn files_that_changed_are_seen_at_the_next_look_which_is_every_10_s() {
    let folder = std::env::temp_dir().join(format!("frameloop-look-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let files = frameloop::server::TlsFiles { certificate: folder.join("cert"), key: folder.join("key") };
    let put = |pair: Pair| {
        std::fs::copy(pair.files().certificate, &files.certificate).unwrap();
        std::fs::copy(pair.files().key, &files.key).unwrap();
    };
    put(FIRST);
    let mut acceptor = Acceptor::load(&files).unwrap();
    let start = Instant::now();
    let is_of = |acceptor: &Acceptor, pair: Pair| {
        let ends = connect_to(acceptor, &TLS13);
        ends.client.peer_certificates() == Some(&[pair.certificate()][..])
    };
    put(SECOND);
    acceptor.look(start + Duration::from_secs(9));
    assert!(is_of(&acceptor, FIRST), "not yet");
    acceptor.look(start + Duration::from_secs(11));
    assert!(is_of(&acceptor, SECOND));

    std::fs::write(&files.key, "broken").unwrap();
    acceptor.look(start + Duration::from_secs(22));
    assert!(is_of(&acceptor, SECOND), "the one that it has");
    put(FIRST);
    acceptor.look(start + Duration::from_secs(33));
    assert!(is_of(&acceptor, FIRST), "mended");
    std::fs::remove_dir_all(&folder).unwrap();
}
