//! §10.2, §4.2.2 item 4: which pages may connect, by their `Origin` (RFC 6454), and by which `Host` a server on
//! loopback may be asked.
//!
//! A browser says which page opens a connection, and nothing else stops the page of another site from using the
//! cookies, the network or the machine of whoever looks at it. What is no browser says nothing, or what it likes: this is no proof
//! of who somebody is.
//!
//! A server on loopback must look at `Host` too. The page of `evil.example` may have its own name point to 127.0.0.1 (DNS
//! rebinding), and is then of the same host as the server for its browser: only the name betrays it.

use std::fmt;

use super::split_host;
use crate::protocol::error::HandshakeError;

/// The pages that may connect, beside those of the same host as the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    is_any: bool,
    has_null: bool,
    patterns: Vec<Pattern>,
}

/// `https://app.example.com:8443`, or `https://*.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    scheme: Scheme,
    /// Without the `*.`.
    host: String,
    port: u16,
    is_wildcard: bool,
}

/// What a request says of where it comes from and whom it is for.
#[derive(Debug, Clone)]
pub struct Provenance<'h> {
    /// The value of `Host`, which every request has once.
    pub host: &'h [u8],
    /// The values of `Origin`.
    pub origins: Vec<&'h [u8]>,
    /// The values of `X-Forwarded-Host`. Anybody can send one: clear them unless a proxy that is trusted has.
    pub forwarded_hosts: Vec<&'h [u8]>,
    /// The values of `X-Forwarded-For`. Anybody can send one.
    pub forwarded_for: Vec<&'h [u8]>,
}

/// What is known of the connection that a request came over, whatever that says itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Channel {
    /// It begins on this machine, or its listener is for this machine only.
    pub is_loopback: bool,
    /// It is TLS.
    pub is_secure: bool,
}

impl Origins {
    /// Lets the pages of one more origin in: `https://app.example.com`, `http://localhost:3000`, `https://*.example.com`
    /// (everything below it, whatever the depth, on the default port), `null` (pages without an origin of their own,
    /// such as files), or `*` (all pages; then `Host` is not looked at either).
    ///
    /// # Errors
    /// [`InvalidOrigin`], which names the pattern and what would be right.
    pub fn allow(&mut self, pattern: &str) -> Result<(), InvalidOrigin> {
        match pattern {
            "*" => self.is_any = true,
            "null" => self.has_null = true,
            _ => self.patterns.push(Pattern::parse(pattern)?),
        }
        Ok(())
    }

    /// Whether all pages may connect.
    pub fn is_any(&self) -> bool {
        self.is_any
    }

    /// Judges whom a request is for: on loopback `Host`, and `X-Forwarded-Host` where a proxy sent it, must each be a name of
    /// loopback or the host of an origin that is let in.
    ///
    /// # Errors
    /// [`HandshakeError::ForeignHost`].
    pub fn check_host(&self, request: &Provenance<'_>, is_loopback: bool) -> Result<(), HandshakeError> {
        if self.is_any || !is_loopback {
            return Ok(());
        }
        let mut hosts = std::iter::once(&request.host).chain(&request.forwarded_hosts);
        let is_known = |host: &[u8]| {
            split_host(host).is_some_and(|(name, _)| {
                is_loopback_name(name) || self.patterns.iter().any(|pattern| pattern.has_host(name))
            })
        };
        if hosts.all(|host| is_known(host)) { Ok(()) } else { Err(HandshakeError::ForeignHost) }
    }

    /// Judges the page that opens a WebSocket connection. Without an `Origin` it is none. It may be of the same host as the
    /// server, of an origin that is let in, or, on loopback, of any server there.
    ///
    /// Over TLS a page of plain HTTP is of another host, whatever its name: who is on the way can write such a page anew, and would
    /// speak through it with the cookies of whoever looks at it.
    ///
    /// # Errors
    /// [`HandshakeError::Origin`], also where there is more than one `Origin`, or one that is none; and
    /// [`HandshakeError::ForeignHost`] where there is more than one `X-Forwarded-Host`.
    pub fn check_origin(&self, request: &Provenance<'_>, channel: Channel) -> Result<(), HandshakeError> {
        if self.is_any || request.origins.is_empty() {
            return Ok(());
        }
        let own_host = match request.forwarded_hosts[..] {
            [] => request.host,
            [host] => host,
            _ => return Err(HandshakeError::ForeignHost),
        };
        let &[origin] = &request.origins[..] else { return Err(HandshakeError::Origin) };
        if origin == b"null" {
            return if self.has_null { Ok(()) } else { Err(HandshakeError::Origin) };
        }
        let Some(origin) = Origin::parse(origin) else { return Err(HandshakeError::Origin) };
        let is_allowed = origin.is_same_host(own_host, channel)
            || (channel.is_loopback && is_loopback_name(origin.host))
            || self.patterns.iter().any(|pattern| pattern.has(&origin));
        if is_allowed { Ok(()) } else { Err(HandshakeError::Origin) }
    }
}

impl Provenance<'_> {
    /// The pattern that would let a refused request in, if there is one: of its `Origin`, or of the host by which it asked.
    /// It has only letters, digits and what else stands in an origin. Over TLS, and for a page that came so, it lets no page in
    /// that did not.
    pub fn pattern(&self, error: HandshakeError, channel: Channel) -> Option<String> {
        match (error, &self.origins[..]) {
            (HandshakeError::Origin, [b"null"]) => Some("null".to_owned()),
            (HandshakeError::Origin, &[origin]) => Origin::parse(origin).map(|origin| origin.to_string()),
            (HandshakeError::ForeignHost, _) => {
                let foreign = |host: &&&[u8]| !split_host(host).is_some_and(|(name, _)| is_loopback_name(name));
                let host = std::iter::once(&self.host).chain(&self.forwarded_hosts).find(foreign)?;
                let is_secure = channel.is_secure || self.origins.iter().any(|origin| origin.starts_with(b"https:"));
                let url = [if is_secure { &b"https://"[..] } else { b"http://" }, host].concat();
                Origin::parse(&url).map(|origin| origin.to_string())
            }
            _ => None,
        }
    }
}

/// The scheme of a page that can open a WebSocket connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// RFC 6454 §6.2: scheme, host and port.
#[derive(Debug, Clone, Copy)]
struct Origin<'h> {
    scheme: Scheme,
    host: &'h str,
    port: u16,
}

impl Origin<'_> {
    /// `None` for what no page of a server has.
    fn parse(value: &[u8]) -> Option<Origin<'_>> {
        let (scheme, rest) = split_scheme(str::from_utf8(value).ok()?)?;
        let (host, port) = split_host(rest.as_bytes())?;
        let is_sound = is_plain_host(host) && !rest.ends_with(':');
        is_sound.then_some(Origin { scheme, host, port: port.unwrap_or(scheme.default_port()) })
    }

    /// Whether a `Host` names the same host and port. What is missing is the default port of the page's own scheme: a server
    /// behind a proxy with TLS does not know that it is. One that speaks TLS itself does, and its pages are `https`.
    fn is_same_host(&self, host: &[u8], channel: Channel) -> bool {
        let is_scheme_possible = !channel.is_secure || self.scheme == Scheme::Https;
        is_scheme_possible
            && split_host(host).is_some_and(|(name, port)| {
                name.eq_ignore_ascii_case(self.host) && port.unwrap_or(self.scheme.default_port()) == self.port
            })
    }
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.host.to_ascii_lowercase())?;
        if self.port == self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl Pattern {
    fn parse(pattern: &str) -> Result<Pattern, InvalidOrigin> {
        let fail = |why: &str| Err(InvalidOrigin(format!("'{pattern}' {why}")));
        let Some((scheme, rest)) = split_scheme(pattern) else {
            return fail(
                "is no origin of pages: give http:// or https:// and a host, such as https://app.example.com, or null or *",
            );
        };
        if let Some(end) = rest.find(['/', '?', '#']) {
            let kept = &pattern[..pattern.len() - rest.len() + end];
            return fail(&format!("is more than an origin, which has no path: give {kept}"));
        }
        let (is_wildcard, rest) = rest.strip_prefix("*.").map_or((false, rest), |rest| (true, rest));
        let (host, port) = match split_host(rest.as_bytes()) {
            Some((host, port)) if is_plain_host(host) && !rest.ends_with(':') => (host, port),
            _ if rest.contains('*') => return fail("has a * elsewhere than in front: give https://*.example.com"),
            _ => return fail("has no host, or no port behind it: give a host, such as https://app.example.com:8443"),
        };
        let port = port.unwrap_or(scheme.default_port());
        if is_wildcard && port != scheme.default_port() {
            return fail(&format!("has a * and a port, but *. is for port {} only", scheme.default_port()));
        }
        Ok(Pattern { scheme, host: host.to_ascii_lowercase(), port, is_wildcard })
    }

    fn has(&self, origin: &Origin<'_>) -> bool {
        self.scheme == origin.scheme && self.port == origin.port && self.has_host(origin.host)
    }

    fn has_host(&self, name: &str) -> bool {
        if !self.is_wildcard {
            return name.eq_ignore_ascii_case(&self.host);
        }
        let (name, host) = (name.as_bytes(), self.host.as_bytes());
        let Some(below) = name.len().checked_sub(host.len() + 1).filter(|&len| len > 0) else { return false };
        name[below] == b'.' && name[below + 1..].eq_ignore_ascii_case(host)
    }
}

/// A text that is no pattern of origins, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidOrigin(String);

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidOrigin {}

fn split_scheme(text: &str) -> Option<(Scheme, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let known = [Scheme::Http, Scheme::Https].into_iter().find(|known| known.name().eq_ignore_ascii_case(scheme))?;
    Some((known, rest))
}

/// What browsers make of any host: a name of letters, digits, `-`, `.` and `_`, or an address.
fn is_plain_host(host: &str) -> bool {
    host.starts_with('[') || host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// RFC 6761 §6.3, RFC 1122 §3.2.1.3, RFC 4291 §2.5.3: names and addresses that mean this machine.
fn is_loopback_name(host: &str) -> bool {
    let name = host.rsplit('.').next().unwrap_or_default();
    name.eq_ignore_ascii_case("localhost") || host == "[::1]" || is_127(host)
}

/// `127.0.0.1` and the like: four numbers as browsers write them.
fn is_127(host: &str) -> bool {
    let is_number = |text: &str| text.parse::<u8>().is_ok() && (text == "0" || !text.starts_with(['0', '+']));
    host.starts_with("127.") && host.split('.').count() == 4 && host.split('.').all(is_number)
}

#[cfg(test)]
mod tests;
