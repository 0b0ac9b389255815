//! The files by which clients are known: read when the server starts, and again when it is told to.

use std::fs;
use std::path::Path;

use frameloop::chat::auth::Authenticator;

use crate::cli::Method;

/// Reads what a method needs.
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
            Authenticator::jwt(&read(secret)?, audience.clone()).map_err(|error| at(secret, &error))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let size = fs::metadata(path).map_err(|error| at(path, &error))?.len();
    if size > FILE_BYTES_MAX {
        return Err(at(path, &format!("it has {size} bytes, at most {FILE_BYTES_MAX} are read")));
    }
    fs::read(path).map_err(|error| at(path, &error))
}

fn at(path: &Path, problem: &dyn std::fmt::Display) -> String {
    format!("'{}': {problem}", path.display())
}

const FILE_BYTES_MAX: u64 = 1024 * 1024;
