//! The files by which clients are known: read when the server starts, and again when it is told to.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use frameloop::chat::auth::Authenticator;

use crate::cli::Method;

/// Reads what a method needs. What is weak in it is a warning in the log.
///
/// # Errors
/// One line that names the file and what is wrong with it, and never what is secret in it.
pub(crate) fn load(method: &Method) -> Result<Authenticator, String> {
    match method {
        Method::None => Ok(Authenticator::default()),
        Method::Tokens(path) => {
            let text = String::from_utf8(read(path)?).map_err(|_| at(path, &"it is no UTF-8"))?;
            Authenticator::tokens(&text).map_err(|error| at(path, &error))
        }
        Method::Jwt { secret, audience } => {
            let authenticator =
                Authenticator::jwt(&read(secret)?, audience.clone()).map_err(|error| at(secret, &error))?;
            if authenticator.is_weak() {
                log::warn!("{}", at(secret, &"the secret is shorter than 32 bytes: whoever has a token may guess it"));
            }
            Ok(authenticator)
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| at(path, &error))?;
    // To open a pipe can take for ever, and it could not be read again.
    if !metadata.is_file() {
        return Err(at(path, &"it is no regular file"));
    }
    if metadata.permissions().mode() & 0o007 != 0 {
        log::warn!("{}", at(path, &"all users of this machine can read or write it: chmod o-rwx"));
    }
    let file = File::open(path).map_err(|error| at(path, &error))?;
    let mut bytes = Vec::new();
    let count = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| at(path, &error))?;
    if count as u64 > FILE_BYTES_MAX {
        return Err(at(path, &format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

fn at(path: &Path, problem: &dyn std::fmt::Display) -> String {
    format!("'{}': {problem}", path.display())
}

const FILE_BYTES_MAX: u64 = 1024 * 1024;
