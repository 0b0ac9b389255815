//! The PROXY protocol: the header below everything that a proxy passes on.

use std::net::{IpAddr, SocketAddr};

use super::source::{Source, cut};
use crate::server::proxy_header::{HEADER_BYTES_MAX, parse};

/// A header is taken, or refused, at one byte: of less nothing is known, of more the same. What follows a header is no part of
/// it. A header that is made of an address names that address, in both versions.
///
/// # Panics
/// If that does not hold.
pub fn proxy_header(data: &[u8]) {
    let mut source = Source::new(data);
    let seed = u16::from(source.byte());
    let bytes = source.rest();
    check_prefixes(bytes, seed);
    if let Ok(Some(header)) = parse(bytes) {
        assert!((1..=bytes.len().min(HEADER_BYTES_MAX)).contains(&header.len), "{header:?} of {} bytes", bytes.len());
        let mut other = bytes.to_vec();
        other[header.len..].iter_mut().for_each(|byte| *byte = !*byte);
        assert_eq!(parse(&other), Ok(Some(header)), "what follows is not looked at");
    }

    let mut source = Source::new(data);
    let (client, server) = addresses(&mut source);
    for mut header in [line(client, server), binary(client, server, source.take(200))] {
        let len = header.len();
        header.extend_from_slice(source.rest());
        check_prefixes(&header, seed);
        let parsed = parse(&header).expect("it keeps all rules").expect("it is whole");
        let expected = SocketAddr::new(client.ip().to_canonical(), client.port());
        assert_eq!((parsed.len, parsed.source), (len, Some(expected)), "{}", header.escape_ascii());
    }
}

/// Every prefix up to where most headers end, and some longer ones.
fn check_prefixes(bytes: &[u8], seed: u16) {
    let ends = cut(bytes, seed).into_iter().scan(0, |end, piece| {
        *end += piece.len();
        Some(*end)
    });
    let mut known = None;
    let mut lens: Vec<usize> = (0..bytes.len().min(PREFIXES)).chain(ends.take(PREFIXES)).collect();
    lens.sort_unstable();
    for len in lens.into_iter().chain([bytes.len()]) {
        let parsed = parse(&bytes[..len]);
        match &known {
            Some(known) => assert_eq!(&parsed, known, "{len} of {}", bytes.escape_ascii()),
            None if parsed == Ok(None) => assert!(len < HEADER_BYTES_MAX, "there is a bound"),
            None => known = Some(parsed),
        }
    }
}

/// Two addresses of one family.
fn addresses(source: &mut Source<'_>) -> (SocketAddr, SocketAddr) {
    let is_four = source.byte().is_multiple_of(2);
    let mut address = || {
        let ip: IpAddr = if is_four { source.array::<4>().into() } else { source.array::<16>().into() };
        SocketAddr::new(ip, u16::from_be_bytes(source.array()))
    };
    (address(), address())
}

fn line(client: SocketAddr, server: SocketAddr) -> Vec<u8> {
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let ([from, to], [from_port, to_port]) = ([client.ip(), server.ip()], [client.port(), server.port()]);
    format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
}

/// With some bytes behind the addresses.
fn binary(client: SocketAddr, server: SocketAddr, more: &[u8]) -> Vec<u8> {
    let ips = [client, server].map(|address| match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    });
    let ports = [client, server].map(|address| address.port().to_be_bytes());
    let rest = [&ips.concat()[..], &ports.concat(), more].concat();
    let family = if client.is_ipv4() { 0x11 } else { 0x21 };
    [&b"\r\n\r\n\0\r\nQUIT\n\x21"[..], &[family], &(rest.len() as u16).to_be_bytes(), &rest].concat()
}

/// More than the longest line.
const PREFIXES: usize = 128;
