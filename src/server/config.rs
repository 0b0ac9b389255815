//! What a server needs to know before it begins.

use crate::protocol::Limits;

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Names and addresses to listen on, as `HOST:PORT`; port 0 picks a free one (default `localhost:8765`).
    pub listen: Vec<String>,
    /// The bounds of each connection.
    pub limits: Limits,
    /// Connections at a time (default: no bound but the limit of open files). Those above get 503.
    ///
    /// Those whose opening handshake is not complete may be a quarter of them, and 16 in any case: with one more, the
    /// oldest of these is cut with 408, as if its [`handshake_timeout`](Limits::handshake_timeout) were over. So
    /// connections that never ask for anything cannot take the places of those that do.
    pub connections_max: usize,
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

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: vec!["localhost:8765".to_owned()],
            limits: Limits::default(),
            connections_max: usize::MAX,
            subprotocols: Vec::new(),
            reuse_port: false,
            unsent_bytes_max: None,
        }
    }
}
