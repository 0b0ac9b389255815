//! Two certificates of `localhost` for a hundred years, and clients that know both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use frameloop::server::TlsFiles;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// A certificate and its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair(&'static str);

pub(crate) const FIRST: Pair = Pair("first");
pub(crate) const SECOND: Pair = Pair("second");

impl Pair {
    pub(crate) fn files(self) -> TlsFiles {
        TlsFiles { certificate: self.path("cert"), key: self.path("key") }
    }

    pub(crate) fn certificate(self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path("cert")).unwrap()
    }

    fn path(self, what: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/tls/files/{}.{what}.pem", self.0))
    }
}

/// A client that speaks these versions.
pub(crate) fn client_config(versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(FIRST.certificate()).unwrap();
    roots.add(SECOND.certificate()).unwrap();
    let builder = ClientConfig::builder_with_provider(default_provider().into());
    let builder = builder.with_protocol_versions(versions).unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}
