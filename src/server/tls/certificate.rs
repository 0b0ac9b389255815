//! The certificate and its key: read at the start, and again when they change.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig, ServerConnection};

use super::{Tls, Transport};
use crate::server::TlsFiles;

/// Begins TLS on connections, with the certificate that the files have now.
#[derive(Debug)]
pub struct Acceptor {
    files: TlsFiles,
    config: Arc<ServerConfig>,
    /// Clients that come back need no new key exchange, whatever the certificate is by then.
    tickets: Arc<dyn ProducesTickets>,
    /// The files as they were last read.
    stamps: Stamps,
    looked_at: Instant,
}

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// With the file and what is wrong with it.
    pub fn load(files: &TlsFiles) -> io::Result<Acceptor> {
        let tickets = Ticketer::new().map_err(io::Error::other)?;
        let stamps = Stamps::of(files);
        let config = configure(files, &tickets)?;
        Ok(Acceptor { files: files.clone(), config, tickets, stamps, looked_at: Instant::now() })
    }

    /// Begins TLS.
    ///
    /// # Errors
    /// If rustls cannot.
    pub fn accept<T: Transport>(&self, socket: T) -> io::Result<Tls<T>> {
        let session = ServerConnection::new(self.config.clone()).map_err(io::Error::other)?;
        Ok(Tls::new(socket, session))
    }

    /// Reads the files again if they have changed. It looks for that at most every 10 s.
    pub fn look(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked_at) < LOOK_AGAIN_AFTER {
            return;
        }
        self.looked_at = now;
        if Stamps::of(&self.files) != self.stamps {
            self.reload();
        }
    }

    /// Reads the files again. If they cannot be used, all stays as it was, and the log says why.
    pub fn reload(&mut self) {
        self.stamps = Stamps::of(&self.files); // first: what changes from now on is seen the next time
        match configure(&self.files, &self.tickets) {
            Ok(config) => {
                self.config = config;
                log::info!("read the certificate again: {}", self.files.certificate.display());
            }
            Err(error) => log::warn!("keeping the certificate of before: {error}"),
        }
    }
}

fn configure(files: &TlsFiles, tickets: &Arc<dyn ProducesTickets>) -> io::Result<Arc<ServerConfig>> {
    let pem = read(&files.certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| wrong_pem(&files.certificate, &error))?;
    if chain.is_empty() {
        return Err(wrong(&files.certificate, &"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|error| match error {
        pem::Error::NoItemsFound => wrong(&files.key, &"there is no private key in it"),
        error => wrong_pem(&files.key, &error),
    })?;
    let config = ServerConfig::builder_with_provider(default_provider().into())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key);
    let mut config = config.map_err(|error| match error {
        Error::InconsistentKeys(_) => {
            wrong(&files.key, &format_args!("it is not the key of the certificate in {}", files.certificate.display()))
        }
        Error::InvalidCertificate(_) => wrong(&files.certificate, &error),
        _ => wrong(&files.key, &error),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = tickets.clone();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let in_file = |error| wrong(path, &error);
    // Before it is opened: a pipe that nobody writes to would stop the thread, and everybody, right there.
    if !fs::metadata(path).map_err(in_file)?.is_file() {
        return Err(wrong(path, &"it is no regular file"));
    }
    let mut content = Vec::new();
    let file = File::open(path).map_err(in_file)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(in_file)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong(path, &"it is longer than 1 MiB"));
    }
    Ok(content)
}

fn wrong_pem(path: &Path, error: &pem::Error) -> io::Error {
    match error {
        pem::Error::MissingSectionEnd { .. } => wrong(path, &"it is cut off, or no PEM"),
        error => wrong(path, error),
    }
}

fn wrong(path: &Path, what: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {what}", path.display()))
}

/// By what a change of the files shows.
#[derive(Debug, PartialEq, Eq)]
struct Stamps([Option<[i64; 6]>; 2]);

impl Stamps {
    fn of(files: &TlsFiles) -> Stamps {
        Stamps([&files.certificate, &files.key].map(|path| {
            let data = fs::metadata(path).ok()?;
            let (inode, size) = (data.ino() as i64, data.size() as i64);
            Some([inode, size, data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()])
        }))
    }
}

/// How often the files are looked at, while connections come.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Bytes of a file. A longer one is refused: a chain of certificates has a few thousand.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
