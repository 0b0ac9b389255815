use super::*;

fn origins(patterns: &[&str]) -> Origins {
    let mut origins = Origins::default();
    patterns.iter().for_each(|pattern| origins.allow(pattern).unwrap());
    origins
}

fn request<'h>(host: &'h str, origins: &[&'h str]) -> Provenance<'h> {
    let origins = origins.iter().map(|origin| origin.as_bytes()).collect();
    Provenance { host: host.as_bytes(), origins, forwarded_hosts: Vec::new(), forwarded_for: Vec::new() }
}

fn channel(is_loopback: bool) -> Channel {
    Channel { is_loopback, is_secure: false }
}

fn passes(origins: &Origins, request: &Provenance<'_>, is_loopback: bool) -> bool {
    passes_over(origins, request, channel(is_loopback))
}

fn passes_over(origins: &Origins, request: &Provenance<'_>, channel: Channel) -> bool {
    let result = origins.check_origin(request, channel);
    assert!(matches!(result, Ok(()) | Err(HandshakeError::Origin)), "{result:?}");
    result.is_ok()
}

#[test]
fn the_same_host_is_the_one_of_host_and_its_port() {
    for (origin, host, is_same) in [
        ("http://example.com", "example.com", true),
        ("http://Example.COM", "eXample.com", true),
        ("HTTP://example.com", "example.com", true),
        ("http://example.com:80", "example.com", true),
        ("http://example.com", "example.com:80", true),
        ("https://example.com", "example.com", true),
        ("https://example.com", "example.com:443", true),
        ("https://example.com:443", "example.com:", true),
        ("https://example.com:8443", "example.com:8443", true),
        ("http://[2001:db8::1]:8080", "[2001:DB8::1]:8080", true),
        ("https://example.com", "example.com:80", false),
        ("http://example.com", "example.com:443", false),
        ("https://example.com:8443", "example.com", false),
        ("https://example.com", "example.com:8443", false),
        ("https://www.example.com", "example.com", false),
        ("https://example.com", "www.example.com", false),
        ("https://example.com.", "example.com", false),
        ("http://[2001:db8::1]", "[2001:db8::2]", false),
    ] {
        assert_eq!(passes(&Origins::default(), &request(host, &[origin]), false), is_same, "{origin} of {host}");
    }
}

#[test]
fn over_tls_a_page_of_the_same_host_is_one_of_https() {
    let secure = Channel { is_secure: true, ..Channel::default() };
    for (origin, host, is_same) in [
        ("https://example.com", "example.com", true),
        ("HTTPS://example.com:443", "example.com", true),
        ("https://example.com", "example.com:443", true),
        ("https://example.com:8443", "example.com:8443", true),
        ("http://example.com", "example.com", false),
        ("http://example.com:80", "example.com", false),
        ("http://example.com:443", "example.com", false),
        ("http://example.com", "example.com:80", false),
        ("http://example.com:8443", "example.com:8443", false),
        ("https://example.com:80", "example.com", false),
        ("https://example.com", "example.com:80", false),
    ] {
        let nobody = Origins::default();
        assert_eq!(passes_over(&nobody, &request(host, &[origin]), secure), is_same, "{origin} of {host}");
        let behind = Provenance { forwarded_hosts: vec![host.as_bytes()], ..request("inside", &[origin]) };
        assert_eq!(passes_over(&nobody, &behind, secure), is_same, "{origin} of {host} behind a proxy");
    }
    let listed = origins(&["http://example.com"]);
    assert!(passes_over(&listed, &request("example.com", &["http://example.com"]), secure), "it may be let in");
    let on_loopback = Channel { is_loopback: true, ..secure };
    let of_this_machine = request("localhost:8443", &["http://localhost:3000"]);
    assert!(passes_over(&Origins::default(), &of_this_machine, on_loopback), "nobody is on the way");
    assert!(!passes_over(&Origins::default(), &of_this_machine, secure));
}

#[test]
fn without_an_origin_it_is_no_page_and_with_two_or_a_broken_one_it_is_refused() {
    let listed = origins(&["http://a", "null"]);
    assert!(passes(&listed, &request("h", &[]), false));
    assert!(!passes(&listed, &request("h", &["http://a", "http://a"]), false));
    assert!(!passes(&listed, &request("h", &["http://h", "http://evil"]), false));
    for broken in [
        "",
        "a",
        "h",
        "//h",
        "http:h",
        "http://",
        "http://h/",
        "http://h?",
        "http://h:",
        "http://h:x",
        "http://h:+80",
        "http://h:65616",
        "http://u@h",
        "http://h http://h",
        "http://h,http://h",
        " http://h",
        "ws://h",
        "file://h",
        "file://",
        "chrome-extension://h",
        "NULL",
        "http://h\u{e9}",
        "http://h%2e",
        "http://h'",
        "http://*",
    ] {
        assert!(!passes(&listed, &request("h", &[broken]), false), "{broken:?}");
    }
}

#[test]
fn a_pattern_lets_in_what_it_names_and_nothing_that_looks_like_it() {
    let listed = origins(&["https://app.example.com", "http://dev:3000", "https://*.Example.org", "http://[::2]"]);
    for (origin, is_listed) in [
        ("https://app.example.com", true),
        ("https://APP.example.com:443", true),
        ("http://dev:3000", true),
        ("https://a.example.org", true),
        ("https://a.b.EXAMPLE.org", true),
        ("http://[::2]", true),
        ("http://app.example.com", false),
        ("https://app.example.com:8443", false),
        ("https://example.com", false),
        ("https://evil-app.example.com", false),
        ("https://app.example.com.evil.example", false),
        ("http://dev", false),
        ("https://example.org", false),
        ("https://.example.org", false),
        ("https://evilexample.org", false),
        ("https://a.example.org:8443", false),
        ("http://a.example.org", false),
        ("null", false),
    ] {
        assert_eq!(passes(&listed, &request("h", &[origin]), false), is_listed, "{origin}");
    }
    assert!(passes(&origins(&["null"]), &request("h", &["null"]), false));
    assert!(passes(&origins(&["*"]), &request("h", &["what it likes", "twice"]), false));
}

#[test]
fn a_server_on_loopback_takes_pages_of_loopback_and_no_other_host() {
    let nobody = Origins::default();
    let loopback =
        ["localhost", "LocalHost:3000", "app.localhost", "127.0.0.1", "127.200.3.4:1", "[::1]", "[::1]:65535"];
    for name in loopback {
        let origin = format!("https://{name}");
        assert!(passes(&nobody, &request("localhost:8765", &[&origin]), true), "{origin}");
        assert!(!passes(&nobody, &request("h", &[&origin]), false), "{origin} on another address");
        assert_eq!(nobody.check_host(&request(name, &[]), true), Ok(()), "{name}");
    }
    for name in [
        "evil.example",
        "localhost.evil.example",
        "evillocalhost",
        "localhost.",
        "127.0.0.1.evil.example",
        "127.1",
        "127.0.0.01",
        "127.0.0.256",
        "128.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::ffff:127.0.0.1]",
        "localhost:8765:1",
    ] {
        let origin = format!("http://{name}");
        assert!(!passes(&nobody, &request("localhost:8765", &[&origin]), true), "{origin}");
        let error = Err(HandshakeError::ForeignHost);
        assert_eq!(nobody.check_host(&request(name, &[]), true), error, "{name}: even of the same host (rebinding)");
        assert_eq!(nobody.check_host(&request(name, &[]), false), Ok(()), "{name}");
        assert_eq!(origins(&["*"]).check_host(&request(name, &[]), true), Ok(()), "{name}");
    }
}

#[test]
fn the_host_of_an_origin_that_is_let_in_is_no_foreign_one() {
    let listed = origins(&["https://app.example.com", "https://*.example.org", "null"]);
    for (host, is_known) in [
        ("app.example.com", true),
        ("App.example.com:8765", true),
        ("a.example.org", true),
        ("example.org", false),
        ("example.com", false),
    ] {
        assert_eq!(listed.check_host(&request(host, &[]), true).is_ok(), is_known, "{host}");
    }
}

#[test]
fn behind_a_proxy_both_hosts_must_be_known_and_the_forwarded_one_is_the_servers_own() {
    let nobody = Origins::default();
    let forwarded = |hosts: &[&'static str]| Provenance {
        forwarded_hosts: hosts.iter().map(|host| host.as_bytes()).collect(),
        ..request("localhost:8765", &["https://app.example.com"])
    };
    assert!(passes(&nobody, &forwarded(&["app.example.com"]), false));
    assert!(!passes(&nobody, &forwarded(&["www.example.com"]), false));
    assert!(!passes(&nobody, &forwarded(&[]), false), "Host is another");
    for hosts in [&["app.example.com", "app.example.com"][..], &["app.example.com", "evil"]] {
        assert_eq!(nobody.check_origin(&forwarded(hosts), channel(false)), Err(HandshakeError::ForeignHost));
    }
    assert!(!passes(&nobody, &forwarded(&["app.example.com, evil"]), false), "a list is no host");
    let error = Err(HandshakeError::ForeignHost);
    assert_eq!(nobody.check_host(&forwarded(&["app.example.com"]), true), error);
    assert_eq!(origins(&["https://app.example.com"]).check_host(&forwarded(&["app.example.com"]), true), Ok(()));
    let request = Provenance { host: b"evil", ..forwarded(&["app.example.com"]) };
    assert_eq!(origins(&["https://app.example.com"]).check_host(&request, true), error);
}

#[test]
fn what_is_no_pattern_is_named_with_what_would_be_right() {
    for (pattern, names) in [
        ("example.com", "http:// or https://"),
        ("", "http:// or https://"),
        ("wss://example.com", "http:// or https://"),
        ("https://example.com/", "give https://example.com"),
        ("https://example.com:1/a?b", "give https://example.com:1"),
        ("https://*.example.com:8443", "port 443 only"),
        ("http://*.example.com:443", "port 80 only"),
        ("https://a.*.example.com", "in front"),
        ("https://*", "in front"),
        ("https://*example.com", "in front"),
        ("https://", "no host"),
        ("https://:443", "no host"),
        ("https://*.", "no host"),
        ("https://a:", "no port"),
        ("https://a:99999", "no port"),
        ("https://a b", "no host"),
        ("https://é.example", "no host"),
    ] {
        let error = Origins::default().allow(pattern).unwrap_err().to_string();
        assert!(error.starts_with(&format!("'{pattern}' ")) && error.contains(names), "{error}");
    }
    assert!(Origins::default().allow("HTTPS://*.example.com:443").is_ok(), "the default port may stand there");
}

#[test]
fn the_pattern_that_would_let_a_request_in_does() {
    for (host, origin, error, expected) in [
        ("h", "HTTPS://Evil.example:443", HandshakeError::Origin, Some("https://evil.example")),
        ("h", "http://evil.example:8080", HandshakeError::Origin, Some("http://evil.example:8080")),
        ("h", "null", HandshakeError::Origin, Some("null")),
        ("h", "http://$(x)", HandshakeError::Origin, None),
        ("h", "chrome-extension://x", HandshakeError::Origin, None),
        ("Evil.example:8765", "", HandshakeError::ForeignHost, Some("http://evil.example:8765")),
        ("$(x)", "", HandshakeError::ForeignHost, None),
        ("h", "http://a", HandshakeError::Host, None),
    ] {
        let request = request(host, &[origin]);
        let pattern = request.pattern(error, channel(true));
        assert_eq!(pattern.as_deref(), expected);
        let Some(pattern) = pattern else { continue };
        let listed = origins(&[&pattern]);
        match error {
            HandshakeError::Origin => assert_eq!(listed.check_origin(&request, channel(true)), Ok(())),
            _ => assert_eq!(listed.check_host(&request, true), Ok(())),
        }
    }
    let forwarded = Provenance { forwarded_hosts: vec![b"evil.example"], ..request("localhost", &[]) };
    let of = |request: &Provenance<'_>, channel| request.pattern(HandshakeError::ForeignHost, channel);
    assert_eq!(of(&forwarded, channel(true)).as_deref(), Some("http://evil.example"));
    // Over TLS, or where the page came over TLS to a proxy, the flag must not let in pages that did not.
    let secure = Channel { is_secure: true, ..channel(true) };
    assert_eq!(of(&forwarded, secure).as_deref(), Some("https://evil.example"));
    let page = request("chat.example", &["https://chat.example"]);
    assert_eq!(of(&page, channel(true)).as_deref(), Some("https://chat.example"));
    let listed = origins(&["https://chat.example"]);
    assert_eq!((listed.check_host(&page, true), listed.check_origin(&page, secure)), (Ok(()), Ok(())));
    let clear = request("chat.example", &["http://chat.example"]);
    assert!(listed.check_origin(&clear, secure).is_err());
}
