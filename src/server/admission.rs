//! Who may come in: when a connection is taken, by address and by rate; when its request is there, by page, host and the
//! address that a proxy names.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::network::{Network, household};
use super::peer::Client;
use super::shrink::shrink_map;
use super::{Config, forwarded};
use crate::protocol::HandshakeError;
use crate::protocol::handshake::origin::{Origins, Provenance};

/// What the configuration says of it, and who is in.
#[derive(Debug)]
pub(super) struct Admission {
    origins: Origins,
    trusted_proxies: Vec<Network>,
    has_proxy_protocol: bool,
    per_address_max: Option<usize>,
    /// Connections by the [household] of their address, while there is a limit. No more entries than connections.
    per_address: HashMap<u128, usize>,
    rate: Option<Bucket>,
}

impl Admission {
    pub(super) fn new(config: &Config, now: Instant) -> Admission {
        Admission {
            origins: config.origins.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            has_proxy_protocol: config.proxy_protocol,
            per_address_max: config.connections_per_address_max,
            per_address: HashMap::new(),
            rate: config.accept_rate.map(|per_second| Bucket::new(per_second, now)),
        }
    }

    // ---- at the door

    /// Whether the peer is no proxy where only proxies have something to say: its first bytes would be a client's own.
    pub(super) fn is_stranger(&self, peer: IpAddr) -> bool {
        self.has_proxy_protocol && !self.is_trusted(peer)
    }

    /// Whether one more connection may come in from here now. That of a trusted proxy is counted when it is known whose it is.
    pub(super) fn check_arrival(&mut self, peer: IpAddr, now: Instant) -> Result<(), HandshakeError> {
        if !self.is_trusted(peer) {
            self.check_address(peer)?;
        }
        let has_token = self.rate.as_mut().is_none_or(|rate| rate.has_token(now));
        if has_token { Ok(()) } else { Err(HandshakeError::Overloaded) }
    }

    /// It came in. One that is counted for its address must [leave](Admission::leave) it.
    pub(super) fn arrive(&mut self, peer: IpAddr) -> Client {
        if let Some(rate) = &mut self.rate {
            rate.take_token();
        }
        match self.is_trusted(peer) {
            true if self.has_proxy_protocol => Client::Announced,
            true => Client::Known,
            false => self.count(peer),
        }
    }

    /// Counts a connection whose proxy says in its header for whom it speaks, unless that is a proxy again.
    pub(super) fn introduce(&mut self, client: IpAddr) -> Result<Client, HandshakeError> {
        if self.is_trusted(client) { Ok(Client::Known) } else { self.enter(client) }
    }

    // ---- at the request

    /// The address of the client who asks: `asking` itself, or whom it speaks for in the request, if it is a trusted proxy.
    /// What else a proxy could have written is taken from the request if none has.
    pub(super) fn client(
        &self,
        asking: SocketAddr,
        request: &mut Provenance<'_>,
    ) -> Result<SocketAddr, HandshakeError> {
        if !self.is_trusted(asking.ip()) {
            request.forwarded_hosts.clear();
            return Ok(asking);
        }
        forwarded::client(&request.forwarded_for, asking, |ip| self.is_trusted(ip))
    }

    /// Judges whom a request is for, and, if it opens a WebSocket connection, which page that does.
    pub(super) fn check_site(
        &self,
        request: &Provenance<'_>,
        is_loopback: bool,
        is_upgrade: bool,
    ) -> Result<(), HandshakeError> {
        self.origins.check_host(request, is_loopback)?;
        // A page of another site may ask for documents as it may for images: the browser judges who reads them.
        if is_upgrade { self.origins.check_origin(request, is_loopback) } else { Ok(()) }
    }

    /// Counts a connection that was not counted when it came, if there is a limit.
    pub(super) fn enter(&mut self, client: IpAddr) -> Result<Client, HandshakeError> {
        self.check_address(client)?;
        Ok(self.count(client))
    }

    /// A connection that was counted for this address is gone.
    pub(super) fn leave(&mut self, client: IpAddr) {
        let household = household(client);
        if let Some(count) = self.per_address.get_mut(&household) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&household);
                shrink_map(&mut self.per_address);
            }
        }
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }

    fn check_address(&self, address: IpAddr) -> Result<(), HandshakeError> {
        let Some(most) = self.per_address_max else { return Ok(()) };
        let count = self.per_address.get(&household(address)).copied().unwrap_or(0);
        if count < most { Ok(()) } else { Err(HandshakeError::ConnectionLimit) }
    }

    fn count(&mut self, address: IpAddr) -> Client {
        if self.per_address_max.is_none() {
            return Client::Known;
        }
        *self.per_address.entry(household(address)).or_default() += 1;
        Client::Counted
    }
}

/// A token bucket: so many a second, and twice as many at once.
#[derive(Debug)]
struct Bucket {
    per_second: u32,
    /// In billionths of a token.
    level: u64,
    at: Instant,
}

impl Bucket {
    fn new(per_second: u32, now: Instant) -> Bucket {
        Bucket { per_second, level: Bucket::capacity(per_second), at: now }
    }

    /// At most 2^33 billion, which fits.
    fn capacity(per_second: u32) -> u64 {
        2 * u64::from(per_second) * TOKEN
    }

    fn has_token(&mut self, now: Instant) -> bool {
        // What it takes to fill it is there after two seconds: more of them would be too many for the number.
        let elapsed = now.saturating_duration_since(self.at).min(Duration::from_secs(2)).as_nanos() as u64;
        self.at = self.at.max(now);
        let filled = self.level.saturating_add(elapsed * u64::from(self.per_second));
        self.level = filled.min(Bucket::capacity(self.per_second));
        self.level >= TOKEN
    }

    fn take_token(&mut self) {
        self.level = self.level.saturating_sub(TOKEN);
    }
}

const TOKEN: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admission(config: Config) -> Admission {
        Admission::new(&config, Instant::now())
    }

    fn request<'h>(forwarded_for: &[&'h str], forwarded_hosts: &[&'h str]) -> Provenance<'h> {
        let bytes = |texts: &[&'h str]| texts.iter().map(|text| text.as_bytes()).collect();
        Provenance {
            host: b"h",
            origins: Vec::new(),
            forwarded_hosts: bytes(forwarded_hosts),
            forwarded_for: bytes(forwarded_for),
        }
    }

    #[test]
    fn the_limit_is_of_each_address_and_of_each_64_of_ipv6_and_its_table_is_empty_again() {
        let mut admission = admission(Config { connections_per_address_max: Some(2), ..Config::default() });
        let now = Instant::now();
        let mut inside = Vec::new();
        for (text, is_admitted) in [
            ("192.0.2.1", true),
            ("192.0.2.1", true),
            ("192.0.2.1", false),
            ("::ffff:192.0.2.1", false),
            ("192.0.2.2", true),
            ("2001:db8::1", true),
            ("2001:db8::2", true),
            ("2001:db8::3", false),
            ("2001:db8:0:1::3", true),
        ] {
            let result = admission.check_arrival(address(text), now);
            assert_eq!(result, if is_admitted { Ok(()) } else { Err(HandshakeError::ConnectionLimit) }, "{text}");
            if is_admitted {
                assert_eq!(admission.arrive(address(text)), Client::Counted);
                inside.push(address(text));
            }
        }
        assert_eq!(admission.per_address.len(), 4);
        admission.leave(inside.remove(0));
        assert_eq!(admission.check_arrival(address("192.0.2.1"), now), Ok(()));
        inside.drain(..).for_each(|address| admission.leave(address));
        assert!(admission.per_address.is_empty());
    }

    #[test]
    fn without_a_limit_nobody_is_counted() {
        let mut admission = admission(Config::default());
        assert_eq!(admission.arrive(address("192.0.2.1")), Client::Known);
        assert_eq!(admission.enter(address("192.0.2.1")), Ok(Client::Known));
        assert!(admission.per_address.is_empty());
    }

    #[test]
    fn who_comes_through_a_proxy_is_counted_as_the_client() {
        let proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let config = Config { connections_per_address_max: Some(1), trusted_proxies: proxies, ..Config::default() };
        let mut admission = admission(config);
        for _ in 0..3 {
            assert_eq!(admission.check_arrival(address("10.0.0.1"), Instant::now()), Ok(()));
            assert_eq!(admission.arrive(address("10.0.0.1")), Client::Known, "it is not known yet whose it is");
        }
        assert_eq!(admission.enter(address("192.0.2.1")), Ok(Client::Counted));
        assert_eq!(admission.enter(address("192.0.2.1")), Err(HandshakeError::ConnectionLimit));
        assert_eq!(
            admission.check_arrival(address("192.0.2.1"), Instant::now()),
            Err(HandshakeError::ConnectionLimit),
            "whichever way it comes"
        );
    }

    #[test]
    fn who_a_client_is_only_trusted_proxies_say() {
        let proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let admission = admission(Config { trusted_proxies: proxies, ..Config::default() });
        let (proxy, stranger) = ("10.0.0.1:1", "192.0.2.9:1");
        for (asking, forwarded_for, expected, keeps_host) in [
            (stranger, "192.0.2.1", stranger, false),
            (proxy, "192.0.2.1", "192.0.2.1:0", true),
            (proxy, "", proxy, true),
            (proxy, "192.0.2.1, 10.0.0.2", "192.0.2.1:0", true),
        ] {
            let mut request = request(&[forwarded_for], &["a"]);
            let parse = |text: &str| text.parse().unwrap();
            assert_eq!(admission.client(parse(asking), &mut request), Ok(parse(expected)), "{asking} {forwarded_for}");
            assert_eq!(!request.forwarded_hosts.is_empty(), keeps_host, "{asking} {forwarded_for}");
        }
    }

    #[test]
    fn where_proxies_speak_first_others_are_strangers() {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let mut config = Config { trusted_proxies, ..Config::default() };
        assert!(!admission(config.clone()).is_stranger(address("192.0.2.1")));
        config.proxy_protocol = true;
        assert!(admission(config.clone()).is_stranger(address("192.0.2.1")));
        assert!(!admission(config.clone()).is_stranger(address("10.1.2.3")));
        config.connections_per_address_max = Some(1);
        let mut admission = admission(config);
        assert_eq!(admission.arrive(address("10.1.2.3")), Client::Announced);
        assert_eq!(admission.introduce(address("10.9.9.9")), Ok(Client::Known), "a proxy again");
        assert_eq!(admission.introduce(address("192.0.2.1")), Ok(Client::Counted));
        assert_eq!(admission.introduce(address("192.0.2.1")), Err(HandshakeError::ConnectionLimit));
    }

    #[test]
    fn the_rate_is_of_all_addresses_with_twice_as_many_at_once() {
        let start = Instant::now();
        let mut admission = Admission::new(&Config { accept_rate: Some(3), ..Config::default() }, start);
        let mut arrivals_at = |millis: u64| {
            let now = start + Duration::from_millis(millis);
            let comes_in = |number: &u8| {
                let peer = IpAddr::from([192, 0, 2, *number]);
                let result = admission.check_arrival(peer, now);
                result.is_ok().then(|| admission.arrive(peer)).is_some()
            };
            (0..100).take_while(comes_in).count()
        };
        assert_eq!(arrivals_at(0), 6);
        assert_eq!(arrivals_at(333), 0);
        assert_eq!(arrivals_at(334), 1);
        assert_eq!(arrivals_at(1334), 3);
        assert_eq!(arrivals_at(1000), 0, "a clock that goes back gives nothing");
        assert_eq!(arrivals_at(1_000_000), 6, "what is not used is not saved up");
    }

    #[test]
    fn the_highest_rate_does_not_overflow() {
        let start = Instant::now();
        let mut bucket = Bucket::new(u32::MAX, start);
        bucket.take_token();
        assert!(bucket.has_token(start + Duration::from_secs(1_000_000)));
        assert_eq!(bucket.level, Bucket::capacity(u32::MAX));
    }
}
