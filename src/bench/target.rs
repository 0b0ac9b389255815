//! §3: where the load goes, and the addresses that it comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// A `ws:` URL (§3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// As it was given.
    pub(crate) url: String,
    /// Host and port as they stand in the URL: the value of `Host`.
    pub(crate) authority: String,
    /// The host, an IPv6 address without its brackets.
    host: String,
    port: u16,
    /// Path and query: the request target.
    pub(crate) path: String,
}

impl Target {
    /// # Errors
    /// What is wrong with the URL.
    pub(crate) fn parse(url: &str) -> Result<Target, String> {
        let wrong = |why: &str| Err(format!("'{url}' is no address such as ws://localhost:8765/: {why}"));
        let Some((scheme, rest)) = url.split_once("://") else { return wrong("it does not begin with ws://") };
        if scheme.eq_ignore_ascii_case("wss") {
            return Err(format!("'{url}': wss (TLS) is not there yet; give an address that begins with ws://"));
        }
        if !scheme.eq_ignore_ascii_case("ws") {
            return wrong("it does not begin with ws://");
        }
        if rest.contains('#') {
            return wrong("it has a fragment"); // §3: MUST NOT be used
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("it has characters that would have to be escaped");
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (authority, "80"), // §3: the default
        };
        let port = match port.parse::<u16>() {
            Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => number,
            _ => return wrong("the port is no number from 1 to 65535"),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.unwrap_or(host).is_empty() || (bare.is_none() && host.contains([':', '[', ']', '@'])) {
            return wrong("it names no host");
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Target {
            url: url.to_owned(),
            authority: authority.to_owned(),
            host: bare.unwrap_or(host).to_owned(),
            port,
            path: format!("{slash}{path}"),
        })
    }

    /// All addresses of the host, those of IPv4 first.
    ///
    /// # Errors
    /// The host has none.
    pub(crate) fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let resolved = (self.host.as_str(), self.port).to_socket_addrs();
        let mut addresses: Vec<SocketAddr> =
            resolved.map_err(|error| format!("{}: {error}", self.authority))?.collect();
        addresses.sort_by_key(SocketAddr::is_ipv6); // the sort is stable
        addresses.dedup();
        if addresses.is_empty() {
            return Err(format!("{}: the name has no address", self.authority));
        }
        Ok(addresses)
    }
}

/// The address that the load goes to: of several the first that takes a connection, or else the first.
pub(crate) fn choose(addresses: &[SocketAddr], timeout: Duration) -> SocketAddr {
    let takes = |address: &&SocketAddr| TcpStream::connect_timeout(address, timeout).is_ok();
    let is_alone = addresses.len() == 1;
    *addresses.iter().find(|address| is_alone || takes(address)).unwrap_or(&addresses[0])
}

/// The addresses that connections come from. An address has about 28,000 ports to connect from, so that one is not
/// enough for many connections.
#[derive(Debug, Clone)]
pub(crate) enum Sources {
    /// What the system chooses.
    System,
    /// 127.0.0.1, and with more connections its neighbours: each machine has all of 127.0.0.0/8.
    Loopback,
    /// These in turn.
    Given(Vec<IpAddr>),
}

impl Sources {
    /// The sources for a target: those that were given, or those that it allows.
    ///
    /// # Errors
    /// A source of another family than the target.
    pub(crate) fn of(target: SocketAddr, given: &[IpAddr]) -> Result<Sources, String> {
        if let Some(source) = given.iter().find(|source| source.is_ipv4() != target.is_ipv4()) {
            return Err(format!("--source: from {source} there is no way to {}", target.ip()));
        }
        Ok(match target.ip() {
            _ if !given.is_empty() => Sources::Given(given.to_vec()),
            IpAddr::V4(address) if address.is_loopback() => Sources::Loopback,
            _ => Sources::System,
        })
    }

    /// The address that this connection comes from; `None` is what the system chooses.
    pub(crate) fn source(&self, connection: usize) -> Option<IpAddr> {
        match self {
            Sources::System => None,
            Sources::Loopback => {
                let block = connection / CONNECTIONS_PER_SOURCE;
                let address = Ipv4Addr::new(127, 0, (block / 250) as u8, (1 + block % 250) as u8);
                (block > 0).then_some(IpAddr::V4(address))
            }
            Sources::Given(sources) => Some(sources[connection % sources.len()]),
        }
    }
}

/// Well below the 28,232 ports that Linux connects from.
const CONNECTIONS_PER_SOURCE: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_its_parts() {
        for (url, authority, host, port, path) in [
            ("ws://localhost:8765", "localhost:8765", "localhost", 8765, "/"),
            ("WS://a/", "a", "a", 80, "/"),
            ("ws://127.0.0.1:1/chat?room=1", "127.0.0.1:1", "127.0.0.1", 1, "/chat?room=1"),
            ("ws://[::1]:9001?x", "[::1]:9001", "::1", 9001, "/?x"),
            ("ws://[::1]", "[::1]", "::1", 80, "/"),
        ] {
            let target = Target::parse(url).unwrap();
            let parts = (target.authority.as_str(), target.host.as_str(), target.port, target.path.as_str());
            assert_eq!(parts, (authority, host, port, path), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_named_with_the_reason() {
        for (url, names) in [
            ("localhost:8765", "begin with ws://"),
            ("http://a/", "begin with ws://"),
            ("wss://a/", "TLS"),
            ("ws://", "no host"),
            ("ws://:80/", "no host"),
            ("ws://[]:80/", "no host"),
            ("ws://::1/", "no host"),
            ("ws://me@a/", "no host"),
            ("ws://a:/", "port"),
            ("ws://a:0/", "port"),
            ("ws://a:65536/", "port"),
            ("ws://a:+80/", "port"),
            ("ws://a/#top", "fragment"),
            ("ws://a/b c", "escaped"),
            ("ws://a/\r\nX: y", "escaped"),
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(error.contains(names) && error.contains(&format!("'{url}'")), "{error}");
        }
    }

    #[test]
    fn of_several_addresses_the_first_that_takes_connections_is_chosen() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        // A port that was free a moment ago and is below those that the system gives away.
        let closed = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(choose(&[closed, open], Duration::from_secs(5)), open);
        assert_eq!(choose(&[open, closed], Duration::from_secs(5)), open);
        assert_eq!(choose(&[closed, closed], Duration::from_secs(5)), closed);
    }

    #[test]
    fn no_source_has_more_connections_than_ports() {
        let sources = Sources::of("127.0.0.1:1".parse().unwrap(), &[]).unwrap();
        let mut counts = std::collections::BTreeMap::<IpAddr, usize>::new();
        for connection in 0..1_000_000 {
            let source = sources.source(connection).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
            *counts.entry(source).or_default() += 1;
        }
        assert_eq!(counts.len(), 50);
        assert!(counts.values().all(|&count| count == 20_000), "{counts:?}");
    }

    #[test]
    fn sources_that_were_given_take_turns() {
        let given: Vec<IpAddr> = ["127.0.0.3", "127.0.0.9"].map(|source| source.parse().unwrap()).to_vec();
        let sources = Sources::of("127.0.0.1:1".parse().unwrap(), &given).unwrap();
        assert_eq!([0, 1, 2].map(|i| sources.source(i)), [Some(given[0]), Some(given[1]), Some(given[0])]);
        assert!(Sources::of("[::1]:1".parse().unwrap(), &given).unwrap_err().contains("127.0.0.3"));
        let system = Sources::of("192.0.2.1:1".parse().unwrap(), &[]).unwrap();
        assert_eq!(system.source(100_000), None);
    }
}
