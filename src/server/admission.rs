//! Who may come in: when a connection is taken, by address and by rate; when its request is there, by page, host and the
//! address that a proxy names.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::network::{Network, household};
use super::peer::Client;
use super::rates::Rates;
use super::shrink::shrink_map;
use super::{Config, forwarded};
use crate::protocol::HandshakeError;
use crate::protocol::handshake::origin::{Channel, Origins, Provenance};

/// What the configuration says of it, and who is in.
#[derive(Debug)]
pub(super) struct Admission {
    origins: Origins,
    trusted_proxies: Vec<Network>,
    has_proxy_protocol: bool,
    per_address_max: Option<usize>,
    /// Connections by the [household] of their address, while there is a limit. No more entries than connections.
    per_address: HashMap<u128, usize>,
    rates: Option<Rates>,
}

impl Admission {
    pub(super) fn new(config: &Config) -> Admission {
        Admission {
            origins: config.origins.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            has_proxy_protocol: config.proxy_protocol,
            per_address_max: config.connections_per_address_max,
            per_address: HashMap::new(),
            rates: config.accept_rate.map(Rates::new),
        }
    }

    // ---- at the door

    /// Whether the peer is no proxy where only proxies have something to say: its first bytes would be a client's own.
    pub(super) fn is_stranger(&self, peer: IpAddr) -> bool {
        self.has_proxy_protocol && !self.is_trusted(peer)
    }

    /// Whether one more connection may come in from here now. That of a trusted proxy is judged when it is known whose it is.
    pub(super) fn check_arrival(&mut self, peer: IpAddr, now: Instant) -> Result<(), HandshakeError> {
        if self.is_trusted(peer) { Ok(()) } else { self.check_address(peer, now) }
    }

    /// It came in. One that is [admitted](Client::is_admitted) must [leave](Admission::leave) its address.
    pub(super) fn arrive(&mut self, peer: IpAddr, now: Instant) -> Client {
        match self.is_trusted(peer) {
            true if self.has_proxy_protocol => Client::Announced,
            true => Client::Known,
            false => self.count(peer, now),
        }
    }

    /// Judges a connection whose proxy says in its header for whom it speaks, unless that is a proxy again, or for nobody.
    pub(super) fn introduce(
        &mut self,
        proxy: IpAddr,
        client: Option<IpAddr>,
        now: Instant,
    ) -> Result<Client, HandshakeError> {
        match client {
            Some(client) if self.is_trusted(client) => Ok(Client::Known),
            Some(client) => self.enter(client, now),
            None => self.enter(proxy, now).map(|_| Client::Unnamed),
        }
    }

    // ---- at the request

    /// The address of the client who asks: `asking` itself, or whom it speaks for in the request, if it is a trusted proxy.
    /// What else a proxy could have written is taken from the request if none has.
    pub(super) fn client(
        &self,
        asking: SocketAddr,
        known: Client,
        request: &mut Provenance<'_>,
    ) -> Result<SocketAddr, HandshakeError> {
        if known == Client::Unnamed || !self.is_trusted(asking.ip()) {
            request.forwarded_hosts.clear();
            return Ok(asking);
        }
        forwarded::client(&request.forwarded_for, asking, |ip| self.is_trusted(ip))
    }

    /// Judges whom a request is for, and, if it opens a WebSocket connection, which page that does.
    pub(super) fn check_site(
        &self,
        request: &Provenance<'_>,
        channel: Channel,
        is_upgrade: bool,
    ) -> Result<(), HandshakeError> {
        self.origins.check_host(request, channel.is_loopback)?;
        // A page of another site may ask for documents as it may for images: the browser judges who reads them.
        if is_upgrade { self.origins.check_origin(request, channel) } else { Ok(()) }
    }

    /// Judges and counts a connection that was not when it came.
    pub(super) fn enter(&mut self, client: IpAddr, now: Instant) -> Result<Client, HandshakeError> {
        self.check_address(client, now)?;
        Ok(self.count(client, now))
    }

    /// A connection that was admitted for this address is gone.
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

    fn check_address(&mut self, address: IpAddr, now: Instant) -> Result<(), HandshakeError> {
        let household = household(address);
        let count = self.per_address.get(&household).copied().unwrap_or(0);
        if self.per_address_max.is_some_and(|most| count >= most) {
            return Err(HandshakeError::ConnectionLimit);
        }
        let has_room = self.rates.as_mut().is_none_or(|rates| rates.has_room(household, now));
        if has_room { Ok(()) } else { Err(HandshakeError::AcceptRate) }
    }

    fn count(&mut self, address: IpAddr, now: Instant) -> Client {
        let household = household(address);
        if let Some(rates) = &mut self.rates {
            rates.count(household, now);
        }
        if self.per_address_max.is_some() {
            *self.per_address.entry(household).or_default() += 1;
        }
        Client::Admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Arrivals, and whether they are admitted where two of each address are.
    const TWO_OF_EACH: [(&str, bool); 9] = [
        ("192.0.2.1", true),
        ("192.0.2.1", true),
        ("192.0.2.1", false),
        ("::ffff:192.0.2.1", false),
        ("192.0.2.2", true),
        ("2001:db8::1", true),
        ("2001:db8::2", true),
        ("2001:db8::3", false),
        ("2001:db8:0:1::3", true),
    ];

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn admission(config: Config) -> Admission {
        Admission::new(&config)
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
        for (text, is_admitted) in TWO_OF_EACH {
            let result = admission.check_arrival(address(text), now);
            assert_eq!(result, if is_admitted { Ok(()) } else { Err(HandshakeError::ConnectionLimit) }, "{text}");
            if is_admitted {
                assert_eq!(admission.arrive(address(text), now), Client::Admitted);
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
        let (mut admission, now) = (admission(Config::default()), Instant::now());
        assert_eq!(admission.arrive(address("192.0.2.1"), now), Client::Admitted);
        assert_eq!(admission.enter(address("192.0.2.1"), now), Ok(Client::Admitted));
        assert!(admission.per_address.is_empty());
    }

    #[test]
    fn who_comes_through_a_proxy_is_counted_as_the_client() {
        let proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let config = Config { connections_per_address_max: Some(1), trusted_proxies: proxies, ..Config::default() };
        let (mut admission, now) = (admission(config), Instant::now());
        for _ in 0..3 {
            assert_eq!(admission.check_arrival(address("10.0.0.1"), now), Ok(()));
            assert_eq!(admission.arrive(address("10.0.0.1"), now), Client::Known, "it is not known yet whose it is");
        }
        assert_eq!(admission.enter(address("192.0.2.1"), now), Ok(Client::Admitted));
        assert_eq!(admission.enter(address("192.0.2.1"), now), Err(HandshakeError::ConnectionLimit));
        assert_eq!(
            admission.check_arrival(address("192.0.2.1"), now),
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
            let client = admission.client(parse(asking), Client::Known, &mut request);
            assert_eq!(client, Ok(parse(expected)), "{asking} {forwarded_for}");
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
        let (mut admission, now, proxy) = (admission(config), Instant::now(), address("10.1.2.3"));
        assert_eq!(admission.arrive(proxy, now), Client::Announced);
        assert_eq!(admission.introduce(proxy, Some(address("10.9.9.9")), now), Ok(Client::Known), "a proxy again");
        let client = Some(address("192.0.2.1"));
        assert_eq!(admission.introduce(proxy, client, now), Ok(Client::Admitted));
        assert_eq!(admission.introduce(proxy, client, now), Err(HandshakeError::ConnectionLimit));
    }

    #[test]
    fn the_rate_is_of_each_address_and_of_each_64_of_ipv6() {
        let mut admission = admission(Config { accept_rate: Some(1), ..Config::default() });
        let now = Instant::now();
        for (text, is_admitted) in TWO_OF_EACH {
            let result = admission.check_arrival(address(text), now);
            assert_eq!(result, if is_admitted { Ok(()) } else { Err(HandshakeError::AcceptRate) }, "{text}");
            if is_admitted {
                assert_eq!(admission.arrive(address(text), now), Client::Admitted);
            }
        }
    }

    #[test]
    fn the_rate_of_who_comes_through_a_proxy_is_the_clients() {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let mut admission = admission(Config { accept_rate: Some(1), trusted_proxies, ..Config::default() });
        let (now, ann) = (Instant::now(), address("192.0.2.1"));
        for _ in 0..10 {
            assert_eq!(admission.check_arrival(address("10.0.0.1"), now), Ok(()));
            assert_eq!(admission.arrive(address("10.0.0.1"), now), Client::Known);
        }
        assert_eq!(admission.enter(ann, now), Ok(Client::Admitted));
        assert_eq!(admission.introduce(address("10.0.0.1"), Some(ann), now), Ok(Client::Admitted));
        assert_eq!(admission.enter(ann, now), Err(HandshakeError::AcceptRate));
        assert_eq!(admission.introduce(address("10.0.0.1"), Some(ann), now), Err(HandshakeError::AcceptRate));
        assert_eq!(admission.check_arrival(ann, now), Err(HandshakeError::AcceptRate), "whichever way it comes");
        assert_eq!(admission.enter(address("192.0.2.2"), now), Ok(Client::Admitted));
        assert_eq!(admission.enter(ann, now + Duration::from_secs(1)), Ok(Client::Admitted));
    }

    #[test]
    fn behind_a_header_without_a_client_is_the_proxy_and_nobody_else_is_believed() {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let config =
            Config { trusted_proxies, proxy_protocol: true, connections_per_address_max: Some(1), ..Config::default() };
        let mut admission = admission(config);
        let (now, proxy) = (Instant::now(), "10.0.0.1:1".parse::<SocketAddr>().unwrap());
        assert_eq!(admission.introduce(proxy.ip(), None, now), Ok(Client::Unnamed));
        assert_eq!(admission.introduce(proxy.ip(), None, now), Err(HandshakeError::ConnectionLimit));
        for forwarded_for in ["192.0.2.1", "unknown"] {
            let mut request = request(&[forwarded_for], &["a"]);
            assert_eq!(admission.client(proxy, Client::Unnamed, &mut request), Ok(proxy));
            assert!(request.forwarded_hosts.is_empty());
        }
        assert!(Client::Unnamed.is_admitted());
        admission.leave(proxy.ip());
        assert!(admission.per_address.is_empty());
    }
}
