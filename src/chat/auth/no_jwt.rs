//! What stands for signed tokens in a build without the feature `jwt`: there are none.

use super::{AuthError, Grant};

/// No value has this type, for nothing makes one.
#[derive(Debug)]
pub enum Jwt {}

impl Jwt {
    /// Makes none.
    ///
    /// # Errors
    /// Always.
    pub fn new(_secret: &[u8], _audience: Option<String>) -> Result<Jwt, String> {
        Err("this build has no JWT; build it with `cargo build --release --features jwt`".to_owned())
    }

    /// Cannot be called.
    pub fn is_weak(&self) -> bool {
        match *self {}
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub fn verify(&self, _token: &str, _unix_ms: u64) -> Result<Grant, AuthError> {
        match *self {}
    }
}
