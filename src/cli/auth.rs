//! The flags of `serve` for who may come in.

use std::path::PathBuf;

use frameloop::chat::auth::Sources;
use frameloop::chat::hub::options::Options as HubOptions;
use frameloop::server::Config;

/// How clients show who they are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) enum Method {
    /// They need not.
    #[default]
    None,
    /// By a token of a list.
    Tokens(PathBuf),
    /// By a token that is signed.
    Jwt { secret: PathBuf, audience: Option<String> },
}

/// What was given.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    method: Option<String>,
    token_file: Option<PathBuf>,
    jwt_secret_file: Option<PathBuf>,
    jwt_audience: Option<String>,
    cookie: Option<String>,
    query: bool,
}

impl Flags {
    /// Sets what a flag names; those without a value get an empty one. `None` if it is none of these.
    pub(crate) fn set(&mut self, flag: &str, value: &str) -> Option<Result<(), String>> {
        match flag {
            "auth" if !["none", "token", "jwt"].contains(&value) => {
                return Some(Err(format!("'{value}' is no way to authenticate; give none, token or jwt")));
            }
            "auth-cookie" if !is_cookie_name(value) => {
                return Some(Err(format!("'{value}' is no name of a cookie; give letters, digits, - or _")));
            }
            "auth" => self.method = Some(value.to_owned()),
            "auth-cookie" => self.cookie = Some(value.to_owned()),
            "auth-query" => self.query = true,
            "jwt-aud" if value.is_empty() => return Some(Err("'' is no audience".to_owned())),
            "jwt-aud" => self.jwt_audience = Some(value.to_owned()),
            "jwt-secret-file" => self.jwt_secret_file = Some(value.into()),
            "token-file" => self.token_file = Some(value.into()),
            _ => return None,
        }
        Some(Ok(()))
    }

    /// What they mean together.
    ///
    /// # Errors
    /// A flag that goes with another way to authenticate, or that is missing.
    pub(crate) fn finish(self) -> Result<(Method, Sources), String> {
        let Flags { method, token_file, jwt_secret_file, jwt_audience, cookie, query } = self;
        let method = method.as_deref().unwrap_or("none");
        for (flag, is_given, goes_with) in [
            ("token-file", token_file.is_some(), &["token"][..]),
            ("jwt-secret-file", jwt_secret_file.is_some(), &["jwt"]),
            ("jwt-aud", jwt_audience.is_some(), &["jwt"]),
            ("auth-cookie", cookie.is_some(), &["token", "jwt"]),
            ("auth-query", query, &["token", "jwt"]),
        ] {
            if is_given && !goes_with.contains(&method) {
                return Err(format!(
                    "--{flag}: goes with --auth {}, and this is --auth {method}",
                    goes_with.join(" or ")
                ));
            }
        }
        let sources = Sources { cookie, query };
        let method = match (method, token_file, jwt_secret_file) {
            ("token", Some(file), _) => Method::Tokens(file),
            ("token", None, _) => return Err("--auth token: --token-file FILE must say which tokens".to_owned()),
            ("jwt", _, Some(secret)) => Method::Jwt { secret, audience: jwt_audience },
            ("jwt", _, None) => return Err("--auth jwt: --jwt-secret-file FILE must say which secret".to_owned()),
            _ => Method::None,
        };
        Ok((method, sources))
    }
}

/// What goes with what beside them.
pub(crate) fn check((method, sources): &(Method, Sources), hub: &HubOptions, config: &Config) -> Result<(), String> {
    if hub.connections_per_user_max.is_some() && *method == Method::None {
        return Err("--max-per-user: goes with --auth token or jwt, without which no user is known".to_owned());
    }
    // A browser adds its cookies to whatever page connects.
    if sources.cookie.is_some() && config.origins.is_any() {
        return Err("--auth-cookie: with --origin '*' any page could come in as its visitor; \
                    list the pages that may"
            .to_owned());
    }
    Ok(())
}

/// RFC 6265 §4.1.1: a token.
fn is_cookie_name(name: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token_byte)
}

/// All of them that take a value.
pub(crate) const FLAGS: [&str; 5] = ["auth", "token-file", "jwt-secret-file", "jwt-aud", "auth-cookie"];

/// Those that do not.
pub(crate) const SWITCHES: [&str; 1] = ["auth-query"];

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(given: &[(&str, &str)]) -> Result<(Method, Sources), String> {
        let mut flags = Flags::default();
        for (flag, value) in given {
            flags.set(flag, value).expect("it is one of these")?;
        }
        flags.finish()
    }

    #[test]
    fn without_flags_nobody_has_to_show_anything() {
        let (method, sources) = finish(&[]).unwrap();
        assert_eq!((method, sources.cookie, sources.query), (Method::None, None, false));
        assert_eq!(finish(&[("auth", "none")]).unwrap().0, Method::None);
        assert!(Flags::default().set("listen", "a").is_none());
    }

    #[test]
    fn each_flag_sets_what_it_names() {
        let (method, sources) =
            finish(&[("auth", "token"), ("token-file", "t"), ("auth-cookie", "sid"), ("auth-query", "")]).unwrap();
        assert_eq!((method, sources.cookie.as_deref(), sources.query), (Method::Tokens("t".into()), Some("sid"), true));
        let (method, _) = finish(&[("auth", "jwt"), ("jwt-secret-file", "s"), ("jwt-aud", "chat")]).unwrap();
        assert_eq!(method, Method::Jwt { secret: "s".into(), audience: Some("chat".to_owned()) });
    }

    #[test]
    fn what_does_not_go_together_is_named_with_what_would_be_right() {
        for (given, names) in [
            (&[("auth", "basic")][..], &["'basic'", "none, token or jwt"][..]),
            (&[("auth", "token")], &["--auth token", "--token-file"]),
            (&[("auth", "jwt")], &["--auth jwt", "--jwt-secret-file"]),
            (&[("token-file", "t")], &["--token-file", "--auth token"]),
            (&[("auth", "token"), ("token-file", "t"), ("jwt-aud", "a")], &["--jwt-aud", "--auth jwt"]),
            (&[("auth-query", "")], &["--auth-query", "--auth token or jwt"]),
            (&[("auth-cookie", "sid")], &["--auth-cookie", "--auth token or jwt"]),
            (&[("auth-cookie", "a b")], &["'a b'", "cookie"]),
            (&[("jwt-aud", "")], &["''"]),
        ] {
            let error = finish(given).unwrap_err();
            assert!(names.iter().all(|name| error.contains(name)), "{given:?}: {error}");
        }
    }
}
