//! Who a connection is: the table of tokens, signed tokens, and where a request has one.

use std::collections::BTreeSet;
use std::rc::Rc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::requests::Members;
use super::source::Source;
use crate::chat::auth::jwt::LEEWAY_MS;
use crate::chat::auth::{AuthError, Authenticator, Grant, Sources, TOKEN_BYTES_MAX, TokenTable};
use crate::chat::wire::claims::DATE_MS_MAX;
use crate::protocol::Request;
use crate::protocol::handshake::query::masked_target;

/// Whatever a file of tokens, a signed token or a request holds, nothing panics.
///
/// A table grants a token to the user of its line, and no other token; the line that it is refused for is the first that is
/// bad. What is not signed with the key is never granted, however it was changed; what is granted is what was signed. A token
/// that is found in a request has the form of one, a cookie is never one without an `Origin` that says which page it is, and a
/// target that was masked has none left.
///
/// # Panics
/// If that does not hold.
pub fn tokens(data: &[u8]) {
    let mut source = Source::new(data);
    match source.byte() % 4 {
        0 => token_file(&String::from_utf8_lossy(source.take(8192))), // within the bounds of a file
        1 => forged(&String::from_utf8_lossy(source.rest())),
        2 => signed(&mut source),
        _ => in_a_request(&mut source),
    }
}

fn token_file(text: &str) {
    match TokenTable::parse(text) {
        Ok(table) => {
            let tokens = check_table(text, &table);
            assert_eq!(format!("{table:?}"), format!("TokenTable({tokens} tokens)"), "no secrets are shown");
        }
        Err(error) => {
            let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).chain([text.len()]).collect();
            let start = if error.line == 1 { 0 } else { ends[error.line - 2] };
            assert!(TokenTable::parse(&text[..start]).is_ok(), "the first line that is bad: {error}");
            let again = TokenTable::parse(&text[..ends[error.line - 1]]).map(|_| ());
            assert_eq!(again, Err(error), "what follows does not matter");
        }
    }
}

/// The lines, read a second time. Returns how many tokens there are.
fn check_table(text: &str, table: &TokenTable) -> usize {
    let is_blank = |c| c == ' ' || c == '\t';
    let mut tokens = BTreeSet::new();
    for line in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
        let front = line.trim_start_matches(is_blank);
        if front.is_empty() || front.starts_with('#') {
            continue;
        }
        let colon = line.find(':').expect("a line that is accepted");
        let token = line[colon + 1..].split(is_blank).next().unwrap_or_default();
        assert!(tokens.insert(token), "each token stands once");
        let grant = table.verify(token).expect("a token of the table");
        assert_eq!(*grant.user, line[..colon], "the user of the line");
        check_grant(&grant);
        assert!(grant.expires_at_ms.is_none());
        let (rooms, read) = (column(&line[colon..], "rooms="), column(&line[colon..], "read="));
        check_rights(&grant, rooms.as_deref(), read.as_deref());
    }
    for token in &tokens {
        for near in [&token[1..], &token[..token.len() - 1], &format!("{token}x"), &token.to_ascii_uppercase()] {
            assert_eq!(table.verify(near).is_ok(), tokens.contains(near), "{near:?}");
        }
    }
    tokens.len()
}

/// The names of a column behind the token.
fn column(line: &str, name: &str) -> Option<Vec<String>> {
    let mut columns = line.split([' ', '\t']).skip(1);
    let names = columns.find_map(|column| column.strip_prefix(name))?;
    Some(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn check_grant(grant: &Grant) {
    assert!((1..=128).contains(&grant.user.len()) && !grant.user.contains(char::is_control), "{grant:?}");
}

/// They fit into any answer as they are.
fn check_words(error: AuthError) {
    let words = error.to_string();
    assert!(words.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !words.contains(['"', '\\']), "{words}");
}

/// What two lists mean, in other words.
fn check_rights(grant: &Grant, rooms: Option<&[String]>, read: Option<&[String]>) {
    let is_in = |list: Option<&[String]>, room: &str| {
        let fits = |name: &String| match name.split_at_checked(name.len() - 1) {
            Some((front, "*")) => room.len() >= front.len() && room.as_bytes()[..front.len()] == *front.as_bytes(),
            _ => name == room,
        };
        list.unwrap_or_default().iter().any(fits)
    };
    let is_open = rooms.is_none() && read.is_none();
    let names = rooms.into_iter().chain(read).flatten();
    let mut probes = BTreeSet::from(["lobby".to_owned(), String::new()]);
    for name in names.take(20) {
        let shorter: String = name.chars().take(name.chars().count() - 1).collect();
        probes.extend([name.clone(), format!("{name}x"), format!("{shorter}y"), shorter]);
    }
    for room in probes {
        assert_eq!(grant.rights.may_write(&room), is_open || is_in(rooms, &room), "{room:?}: {grant:?}");
        let may_read = is_open || is_in(rooms, &room) || is_in(read, &room);
        assert_eq!(grant.rights.may_read(&room), may_read, "{room:?}: {grant:?}");
    }
}

/// A token that nobody has signed.
fn forged(token: &str) {
    for unix_ms in [0, 1_800_000_000_000, u64::MAX] {
        let error = authenticator().verify(token, unix_ms).expect_err("nobody has signed this");
        assert!(matches!(error, AuthError::Invalid(_)), "without the key nothing is said of its claims: {error}");
        check_words(error);
    }
}

/// A token with any payload and the right signature, at any time; then with one change.
fn signed(source: &mut Source<'_>) {
    let (header, is_good) = HEADERS[source.up_to(HEADERS.len() - 1)];
    let unix_ms = u64::from(u32::from_be_bytes(source.array())) * 1000 + u64::from(source.byte());
    let (place, change, payload) = (source.up_to(8191), source.byte(), source.rest());
    let token = sign(KEY, header, payload);
    match authenticator().verify(&token, unix_ms) {
        Ok(grant) => {
            assert!(is_good && token.len() <= TOKEN_BYTES_MAX, "{header}");
            check_claims(payload, &grant, unix_ms);
            let stranger = sign(b"another key", header, payload);
            assert!(authenticator().verify(&stranger, unix_ms).is_err(), "signed with another key");
        }
        Err(AuthError::Invalid("its signature is wrong")) => panic!("it was signed with the key"),
        Err(error) => {
            check_words(error);
            assert!(is_good || matches!(error, AuthError::Invalid(_)), "{error}");
        }
    }
    let place = place % token.len();
    let other = char::from(b'!' + change % 94);
    if !token[place..].starts_with(other) {
        let changed = format!("{}{other}{}", &token[..place], &token[place + 1..]);
        assert!(authenticator().verify(&changed, unix_ms).is_err(), "{changed} in place of {token}");
    }
    assert!(authenticator().verify(&token[..place], unix_ms).is_err(), "cut at {place}: {token}");
}

/// What a payload says, as another reader of JSON has it.
fn check_claims(payload: &[u8], grant: &Grant, unix_ms: u64) {
    check_grant(grant);
    let members: Members<'_> = serde_json::from_slice(payload).expect("an object");
    let names: BTreeSet<&str> = members.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), members.0.len(), "no name stands twice");
    // Some numbers are too large for this reader.
    let value = |name: &str| {
        let (_, value) = members.0.iter().find(|(other, _)| other == name)?;
        let large = if value.get().starts_with('-') { f64::MIN } else { f64::MAX };
        Some(serde_json::from_str(value.get()).unwrap_or(Value::from(large)))
    };
    assert_eq!(value("sub"), Some(Value::from(&*grant.user)));
    let date =
        |name| value(name).map(|date| (date.as_f64().expect("a number") * 1000.0).clamp(0.0, DATE_MS_MAX as f64));
    let end = date("exp").map(|end| end + LEEWAY_MS as f64);
    assert_eq!(end.is_some(), grant.expires_at_ms.is_some());
    if let (Some(end), Some(own)) = (end, grant.expires_at_ms) {
        assert!((end - own as f64).abs() <= 1.0 && own > unix_ms, "it ends at {own}, not at {end}");
    }
    assert!(date("nbf").is_none_or(|start| start <= (unix_ms + LEEWAY_MS) as f64 + 1.0), "it begins");
    let list = |name| {
        value(name).map(|list| {
            let list = list.as_array().expect("a list").clone();
            list.iter().map(|name| name.as_str().expect("a string").to_owned()).collect::<Vec<_>>()
        })
    };
    check_rights(grant, list("rooms").as_deref(), list("read").as_deref());
}

fn sign(key: &[u8], header: &str, payload: &[u8]) -> String {
    let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(payload));
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length").chain_update(&signed);
    format!("{signed}.{}", base64url(&mac.finalize().into_bytes()))
}

/// RFC 4648 §5, written out.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (at, &byte)| bits | u32::from(byte) << (16 - 8 * at));
        let digit = |at: usize| char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]);
        text.extend((0..=group.len()).map(digit));
    }
    text
}

fn authenticator() -> Authenticator {
    Authenticator::jwt(KEY, None).expect("a key")
}

/// A target, and header fields behind it, one a line. The first byte is how our parameter is written.
fn in_a_request(source: &mut Source<'_>) {
    let spelling = source.byte();
    let text = String::from_utf8_lossy(source.rest()).into_owned();
    let (target, fields) = text.split_once('\n').unwrap_or((&text, ""));
    check_mask(target, spelling);
    let head = |target: &str| {
        let fields = fields.replace('\n', "\r\n");
        format!(
            "GET {target} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n\r\n"
        )
    };
    let Ok(request) = Request::parse(head(target).as_bytes()) else { return };
    let found = |cookie: bool, query: bool, request: &Request| {
        let sources = Sources { cookie: cookie.then(|| "sid".to_owned()), query };
        sources.token_of(request).map(|token| token.map(|token| Rc::from(&*token)))
    };
    let [neither, cookie, query, both] =
        [(false, false), (true, false), (false, true), (true, true)].map(|(c, q)| found(c, q, &request));
    [&neither, &cookie, &query, &both]
        .into_iter()
        .filter_map(|found| found.as_ref().err())
        .copied()
        .for_each(check_words);
    for token in [&neither, &cookie, &query, &both].into_iter().flatten().flatten() {
        let token: &str = token;
        assert!((1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    // The first source counts, whatever the others are.
    if neither != Ok(None) {
        assert!([&cookie, &query, &both].into_iter().all(|other| *other == neither));
        return;
    }
    if cookie != Ok(None) {
        assert_eq!(both, cookie);
        let origins = request.header("origin");
        let has_origin = !origins.is_empty() && !origins.contains(&&b""[..]) && !origins.contains(&&b"null"[..]);
        assert!(has_origin || cookie.is_err(), "a cookie without a page");
    } else {
        assert_eq!(both, query);
    }
    // Whatever a log shows of this request, nobody can use it.
    let masked = Request::parse(head(&masked_target(target)).as_bytes()).expect("a mask is plain ASCII");
    assert_eq!(found(false, true, &masked), Ok(None));
}

/// What the log shows of a target, found in another way.
fn check_mask(target: &str, spelling: u8) {
    let speaks_of_it = |text: &str| {
        let (mut bytes, mut shorter) = (text.as_bytes().to_vec(), unescaped(text.as_bytes()));
        while shorter.len() < bytes.len() {
            (bytes, shorter) = (shorter.clone(), unescaped(&shorter));
        }
        String::from_utf8_lossy(&bytes).to_ascii_lowercase().contains("token")
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let hidden = if speaks_of_it(path) { "/***".to_owned() } else { format!("{path}?***") };
    let expected = if speaks_of_it(path) || speaks_of_it(query) { &hidden } else { target };
    assert_eq!(masked_target(target), *expected, "{target}");

    // However our parameter is written, and whatever stands around it, its value is gone.
    let name: String = "token".chars().enumerate().map(|(at, c)| spell(c, spelling >> at & 1 == 1)).collect();
    let separator = if target.contains('?') { '&' } else { '?' };
    assert_eq!(masked_target(&format!("{target}{separator}{name}=hush")), hidden);
    assert_eq!(masked_target(&format!("/?{name}=hush&{target}")), "/?***");
    assert_eq!(masked_target(&format!("/{name}=hush{target}")), "/***");
}

fn spell(character: char, is_escaped: bool) -> String {
    if is_escaped { format!("%{:02x}", u32::from(character)) } else { character.to_string() }
}

/// Text with its escapes resolved, once; what is none stays.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let [first, tail @ ..] = rest {
        let escape = tail.get(..2).filter(|_| *first == b'%').and_then(|two| str::from_utf8(two).ok());
        let escape = escape.filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match escape.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

const KEY: &[u8] = b"the key of the fuzz target";

/// Headers, and whether a token may have them.
const HEADERS: [(&str, bool); 9] = [
    (r#"{"alg":"HS256"}"#, true),
    (r#" {"typ":"JWT", "alg":"HS25\u0036","kid":"1"} "#, true),
    (r#"{"alg":"none"}"#, false),
    (r#"{"alg":"HS512"}"#, false),
    (r#"{"alg":"hs256"}"#, false),
    (r#"{"alg":"HS256","crit":["b64"],"b64":true}"#, false),
    (r#"{"alg":"HS256","alg":"HS256"}"#, false),
    (r#"{"typ":"JWT"}"#, false),
    ("", false),
];
