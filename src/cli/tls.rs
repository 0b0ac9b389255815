//! The flags for TLS.

use std::ffi::OsString;
use std::path::PathBuf;

use frameloop::server::TlsFiles;

/// What the flags said.
#[derive(Debug, Default)]
pub(crate) struct Files {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Files {
    /// Sets what one of [`FLAGS`] names.
    pub(crate) fn set(&mut self, flag: &str, value: OsString) -> Result<(), String> {
        let file = if flag == FLAGS[0] { &mut self.certificate } else { &mut self.key };
        match file.replace(value.into()) {
            None => Ok(()),
            Some(_) => Err("it was given twice, and there is one certificate for all addresses".to_owned()),
        }
    }

    /// Both of them or none, as the addresses need it.
    pub(crate) fn finish(self, listen: &[String]) -> Result<Option<TlsFiles>, String> {
        match (self.certificate, self.key) {
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
            (Some(_), None) => Err("--tls-cert: the key of the certificate is missing; give --tls-key too".to_owned()),
            (None, Some(_)) => Err("--tls-key: the certificate of the key is missing; give --tls-cert too".to_owned()),
            (None, None) => match listen.iter().find(|name| name.starts_with("wss://")) {
                Some(name) => Err(format!("--listen: '{name}' needs a certificate; give --tls-cert and --tls-key")),
                None => Ok(None),
            },
        }
    }
}

/// All of them.
pub(crate) const FLAGS: [&str; 2] = ["tls-cert", "tls-key"];

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(flags: &[&str], listen: &str) -> Result<Option<TlsFiles>, String> {
        let mut files = Files::default();
        for flag in flags {
            files.set(flag, format!("{flag}.pem").into())?;
        }
        files.finish(&["localhost:80".to_owned(), listen.to_owned()])
    }

    #[test]
    fn both_files_or_none_are_given_as_the_addresses_need_it() {
        let both = TlsFiles { certificate: "tls-cert.pem".into(), key: "tls-key.pem".into() };
        for listen in ["localhost:81", "ws://localhost:81/", "wss://localhost:81"] {
            assert_eq!(finish(&FLAGS, listen), Ok(Some(both.clone())));
        }
        assert_eq!(finish(&[], "ws://localhost:81"), Ok(None));
        for (flags, listen, names) in [
            (&["tls-cert"][..], "localhost:81", ["--tls-cert", "--tls-key"]),
            (&["tls-key"], "localhost:81", ["--tls-key", "--tls-cert"]),
            (&[], "wss://localhost:81", ["'wss://localhost:81'", "--tls-cert and --tls-key"]),
            (&["tls-key", "tls-key"], "localhost:81", ["twice", "one certificate"]),
        ] {
            let error = finish(flags, listen).unwrap_err();
            assert!(names.iter().all(|name| error.contains(name)), "{flags:?}: {error}");
        }
    }

    #[test]
    fn the_help_names_each_flag() {
        assert!(FLAGS.iter().all(|flag| crate::cli::HELP.contains(&format!("\n  --{flag} "))));
    }
}
