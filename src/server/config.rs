//! What a server needs to know before it begins.

use std::path::PathBuf;

use super::network::Network;
use crate::protocol::handshake::origin::Origins;
use crate::protocol::{Compression, Limits};

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Names and addresses to listen on, as `HOST:PORT`; port 0 picks a free one (default `localhost:8765`). With `wss://`
    /// before it the connections are TLS, with `ws://` they are plain, without both they are TLS if there is a certificate.
    pub listen: Vec<String>,
    /// The certificate for TLS (default: none). It needs the cargo feature `tls`.
    pub tls: Option<TlsFiles>,
    /// The bounds of each connection.
    pub limits: Limits,
    /// Whether messages are compressed (default: they are not). All else needs the cargo feature `deflate`.
    pub compression: Compression,
    /// Connections at a time (default: no bound but the limit of open files). Those above get 503.
    ///
    /// Those whose opening handshake is not complete may be a quarter of them, and 16 in any case: with one more, the
    /// oldest of these is cut with 408, as if its [`handshake_timeout`](Limits::handshake_timeout) were over. So
    /// connections that never ask for anything cannot take the places of those that do.
    pub connections_max: usize,
    /// Connections of one address at a time (default: no bound but that on all of them). Those above get 429. Of IPv6, the
    /// addresses of a /64 count as one. Who comes through a [trusted proxy](Config::trusted_proxies) counts by its own address.
    pub connections_per_address_max: Option<usize>,
    /// New connections of one address a second, and twice as many at once (default: no limit). Those above get 503. Whose address
    /// counts is as above; where more than 32,768 come within the two seconds that it takes to forget one, all are forgotten.
    pub accept_rate: Option<u32>,
    /// The pages that may open a connection beside those of the same host (default: no others). What is refused gets 403.
    ///
    /// Over TLS those of the same host are pages of `https` only.
    ///
    /// What listens on loopback takes pages of loopback too, and no request for a `Host` that is neither a name of loopback nor
    /// the host of one of these origins: another name that leads there is somebody else's. The same holds for what comes from
    /// an address of loopback to any listener.
    pub origins: Origins,
    /// The peers whose `X-Forwarded-For` and `X-Forwarded-Host` are believed (default: none). The client is then the last
    /// address of all lines of the former that is not one of these; one that is malformed is refused with 400.
    pub trusted_proxies: Vec<Network>,
    /// Whether each connection begins with a header of the PROXY protocol (default: no). It is then taken from trusted proxies
    /// only; the connections of others are dropped. One whose header names no client counts for the proxy, and its
    /// `X-Forwarded-For` and `X-Forwarded-Host` are not believed.
    pub proxy_protocol: bool,
    /// Subprotocols that are accepted, if a client offers one (default: none).
    pub subprotocols: Vec<String>,
    /// Whether other processes that say the same may listen on the same addresses (default: no): the system then deals
    /// connections out among them (`SO_REUSEPORT`). They share nothing else.
    pub reuse_port: bool,
    /// Bytes that the system takes for a connection beyond what its peer has room for (`TCP_NOTSENT_LOWAT`, on Linux only;
    /// default: no limit but the size of its buffer, some megabytes). A limit is for servers that send the same to many:
    /// what the system takes is copied for each of them, and what waits here is shared. To messages that are larger it
    /// costs a further turn of the loop for each so many bytes.
    pub unsent_bytes_max: Option<u32>,
}

/// The files of a certificate for TLS, in PEM. They are read again when they change, and when the server is told to
/// ([`Reloader`](super::Reloader)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with those that lead from it to one that clients know.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec!["localhost:8765".to_owned()],
            tls: None,
            compression: Compression::Off,
            limits: Limits::default(),
            connections_max: usize::MAX,
            connections_per_address_max: None,
            accept_rate: None,
            origins: Origins::default(),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            subprotocols: Vec::new(),
            reuse_port: false,
            unsent_bytes_max: None,
        }
    }
}
