//! The PROXY protocol (HAProxy, versions 1 and 2): the line or the binary header with which a proxy that passes bytes
//! on says whose they are. Below TLS, before everything else.
//!
//! What cannot become a header is known at its first wrong byte.

use std::fmt;
use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use mio::net::TcpStream;

/// What stands before the bytes of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Its bytes.
    pub len: usize,
    /// The client. `None` where the proxy speaks for itself, or does not say for whom.
    pub source: Option<SocketAddr>,
}

/// The part of a header that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeaderError {
    /// It begins as neither version does.
    Signature,
    /// Version 1: neither TCP4, TCP6 nor UNKNOWN. Version 2: no version 2, or a command that there is not.
    Command,
    /// Version 2: a family or a protocol that no stream has.
    Family,
    /// An address that is none of its family.
    Address,
    /// A port that is no number from 0 to 65535.
    Port,
    /// A line that does not end with CRLF.
    LineEnd,
    /// A length that the addresses do not fit in, or more bytes than [`HEADER_BYTES_MAX`], or a line of more than 107.
    Length,
}

/// Takes the header from the front of what was received so far: `None` if there is more to come.
///
/// # Errors
/// The first part that is broken. It is the same however much of the rest is there.
pub fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') => parse_line(bytes),
        Some(_) => parse_binary(bytes),
    }
}

/// Takes the header from a stream that was just accepted, and not a byte of what follows it.
///
/// # Errors
/// `WouldBlock` while it is not whole: the rest comes with the next event. `InvalidData` with a [`ProxyHeaderError`],
/// `UnexpectedEof`, and those of the stream.
pub fn take_header(stream: &mut TcpStream) -> io::Result<ProxyHeader> {
    let mut bytes = [0; HEADER_BYTES_MAX];
    let count = stream.peek(&mut bytes)?;
    if count == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let header = parse(&bytes[..count]).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    let header = header.ok_or(ErrorKind::WouldBlock)?;
    stream.read_exact(&mut bytes[..header.len])?; // all of it was there to be peeked at
    Ok(header)
}

// ---- version 1

fn parse_line(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let mut cursor = Cursor { rest: line };
    let header = match parse_fields(&mut cursor)? {
        Some(source) => Some(ProxyHeader { len: line.len() - cursor.rest.len(), source }),
        None if line.len() == LINE_BYTES_MAX => return Err(ProxyHeaderError::Length),
        None => None,
    };
    Ok(header)
}

/// `None` if the line is not whole, and then the client of the line.
fn parse_fields(line: &mut Cursor<'_>) -> Result<Option<Option<SocketAddr>>, ProxyHeaderError> {
    if !line.take(b"PROXY ", ProxyHeaderError::Signature)? {
        return Ok(None);
    }
    if line.rest.starts_with(b"U") {
        let is_whole = line.take(b"UNKNOWN", ProxyHeaderError::Command)? && line.skip_ignored()?;
        return Ok(is_whole.then_some(None));
    }
    if line.rest.starts_with(b"TCP6") {
        line.take(b"TCP6", ProxyHeaderError::Command)?;
        return parse_addresses::<Ipv6Addr>(line);
    }
    if line.take(b"TCP4", ProxyHeaderError::Command)? { parse_addresses::<Ipv4Addr>(line) } else { Ok(None) }
}

fn parse_addresses<A: FromStr + Into<IpAddr>>(
    line: &mut Cursor<'_>,
) -> Result<Option<Option<SocketAddr>>, ProxyHeaderError> {
    if !line.take(b" ", ProxyHeaderError::Command)? {
        return Ok(None);
    }
    let Some(source) = line.address::<A>()? else { return Ok(None) };
    if line.address::<A>()?.is_none() {
        return Ok(None);
    }
    let Some(port) = line.port(b' ')? else { return Ok(None) };
    if line.port(b'\r')?.is_none() || !line.take(b"\n", ProxyHeaderError::LineEnd)? {
        return Ok(None);
    }
    Ok(Some(Some(SocketAddr::new(source.into().to_canonical(), port))))
}

struct Cursor<'b> {
    rest: &'b [u8],
}

impl Cursor<'_> {
    /// Takes these bytes; false if not all of them are there yet.
    fn take(&mut self, expected: &[u8], error: ProxyHeaderError) -> Result<bool, ProxyHeaderError> {
        let there = expected.len().min(self.rest.len());
        if self.rest[..there] != expected[..there] {
            return Err(error);
        }
        self.rest = &self.rest[there..];
        Ok(there == expected.len())
    }

    /// What follows UNKNOWN is not looked at, up to the end of the line; false if that is not there yet.
    fn skip_ignored(&mut self) -> Result<bool, ProxyHeaderError> {
        if !matches!(self.rest.first(), None | Some(b' ' | b'\r')) {
            return Err(ProxyHeaderError::Command);
        }
        let end = self.rest.iter().position(|byte| b"\r\n".contains(byte)).unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
        self.take(b"\r\n", ProxyHeaderError::LineEnd)
    }

    /// An address and the blank behind it.
    fn address<A: FromStr>(&mut self) -> Result<Option<A>, ProxyHeaderError> {
        let end = self.rest.iter().position(|&byte| byte == b' ');
        let text = str::from_utf8(&self.rest[..end.unwrap_or(self.rest.len())]);
        let text = text.map_err(|_| ProxyHeaderError::Address)?;
        let Some(end) = end else {
            // It is not whole, but must be the beginning of one: there is an end that makes it one.
            let is_beginning = text.len() <= ADDRESS_BYTES_MAX
                && ADDRESS_ENDS.iter().any(|end| format!("{text}{end}").parse::<A>().is_ok());
            return if is_beginning { Ok(None) } else { Err(ProxyHeaderError::Address) };
        };
        let address = text.parse().map_err(|_| ProxyHeaderError::Address)?;
        self.rest = &self.rest[end + 1..];
        Ok(Some(address))
    }

    /// A port, without a sign or zeros in front, and the byte behind it.
    fn port(&mut self, end: u8) -> Result<Option<u16>, ProxyHeaderError> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).take(PORT_DIGITS_MAX).count();
        let port = self.rest[..digits].iter().fold(0, |port: u32, digit| port * 10 + u32::from(digit - b'0'));
        let is_port = port <= u32::from(u16::MAX) && (digits <= 1 || self.rest[0] != b'0');
        let is_ended = match self.rest.get(digits) {
            None => false,
            Some(&byte) if byte == end && digits > 0 => true,
            Some(_) => return Err(ProxyHeaderError::Port),
        };
        if !is_port {
            return Err(ProxyHeaderError::Port);
        }
        if is_ended {
            self.rest = &self.rest[digits + 1..];
        }
        Ok(is_ended.then_some(port as u16))
    }
}

// ---- version 2

fn parse_binary(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyHeaderError> {
    let mut cursor = Cursor { rest: bytes };
    if !cursor.take(SIGNATURE, ProxyHeaderError::Signature)? {
        return Ok(None);
    }
    let Some(&command) = bytes.get(12) else { return Ok(None) };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyHeaderError::Command),
    };
    let Some(&family) = bytes.get(13) else { return Ok(None) };
    let addresses_len = match family {
        _ if is_local => 0, // what a proxy says of its own connection is not looked at
        UNSPECIFIED => 0,
        TCP4 => 2 * (4 + 2),
        TCP6 => 2 * (16 + 2),
        UNIX_STREAM => 2 * 108,
        _ => return Err(ProxyHeaderError::Family),
    };
    let Some(&high) = bytes.get(14) else { return Ok(None) };
    let most = HEADER_BYTES_MAX - FIXED_LEN;
    if usize::from(high) > most >> 8 {
        return Err(ProxyHeaderError::Length);
    }
    let Some(&low) = bytes.get(15) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !(addresses_len..=most).contains(&length) {
        return Err(ProxyHeaderError::Length);
    }
    // What lies behind the addresses (TLVs) is not looked at.
    let Some(addresses) = bytes.get(FIXED_LEN..FIXED_LEN + length) else { return Ok(None) };
    let source = match (is_local, family, addresses) {
        (false, TCP4, &[a, b, c, d, _, _, _, _, high, low, ..]) => {
            Some(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low]))))
        }
        (false, TCP6, addresses) => addresses.split_first_chunk().and_then(|(&source, rest): (&[u8; 16], _)| {
            let port = u16::from_be_bytes([*rest.get(16)?, *rest.get(17)?]);
            Some(SocketAddr::new(Ipv6Addr::from(source).to_canonical(), port))
        }),
        _ => None,
    };
    Ok(Some(ProxyHeader { len: FIXED_LEN + length, source }))
}

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProxyHeaderError::Signature => "no PROXY header, neither of version 1 nor of version 2",
            ProxyHeaderError::Command => "the PROXY header has an unknown version or command",
            ProxyHeaderError::Family => "the PROXY header is of no stream over IP",
            ProxyHeaderError::Address => "an address of the PROXY header is none",
            ProxyHeaderError::Port => "a port of the PROXY header is none",
            ProxyHeaderError::LineEnd => "the line of the PROXY header does not end with CRLF",
            ProxyHeaderError::Length => "the PROXY header has a wrong length",
        })
    }
}

impl std::error::Error for ProxyHeaderError {}

/// The longest header: a longer one is refused by its length alone.
pub const HEADER_BYTES_MAX: usize = 4096;

/// The longest line of version 1, its CRLF included.
const LINE_BYTES_MAX: usize = 107;

/// What can stand behind the beginning of an address to make it one.
const ADDRESS_ENDS: [&str; 10] = ["", "0", ":", "::", ".0", "0.0", ".0.0", "0.0.0", ".0.0.0", "0.0.0.0"];

/// The longest text of an address. Longer ones cannot be parsed; this keeps what is looked at short.
const ADDRESS_BYTES_MAX: usize = 45;

const PORT_DIGITS_MAX: usize = 5;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, the command, the family, and the length of the rest.
const FIXED_LEN: usize = 16;

const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

#[cfg(test)]
mod tests;
