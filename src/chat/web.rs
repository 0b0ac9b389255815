//! The documents beside the WebSocket: the demo page and the browser client, both in the binary.
//!
//! | file | what |
//! |---|---|
//! | `web.rs` | [`Site`]: which document is at which path |
//! | `frameloop.js` | the browser client, one ES module |
//! | `index.html`, `style.css`, `demo.js` | the demo page |

use crate::protocol::{Document, DocumentRequest, HandshakeError};

/// The documents of a server, by their paths.
#[derive(Debug)]
pub struct Site {
    documents: Vec<(&'static str, Document)>,
}

impl Site {
    /// The demo page at `/`, and the client.
    pub fn demo() -> Site {
        let page =
            |media_type, body: &str| embedded(media_type, body).with_header("Content-Security-Policy", DEMO_POLICY);
        let mut site = Site::client_only();
        site.documents.extend([
            ("/", page(HTML, include_str!("web/index.html"))),
            ("/style.css", page("text/css; charset=utf-8", include_str!("web/style.css"))),
            ("/demo.js", page(JAVASCRIPT, include_str!("web/demo.js"))),
        ]);
        site
    }

    /// The client at [`CLIENT_PATH`], and nothing else.
    pub fn client_only() -> Site {
        // A page of another origin may import it, as it may connect: whether it may is another question (§10.2).
        let client =
            embedded(JAVASCRIPT, include_str!("web/frameloop.js")).with_header("Access-Control-Allow-Origin", "*");
        Site { documents: vec![(CLIENT_PATH, client)] }
    }

    /// The document that a client asks for.
    ///
    /// # Errors
    /// [`HandshakeError::NotFound`]; where there is no page at all [`HandshakeError::NotAnUpgrade`], for `/`: it says what
    /// this server is.
    pub fn document(&self, request: &DocumentRequest) -> Result<Document, HandshakeError> {
        let path = request.path();
        match self.documents.iter().find(|(known, _)| *known == path) {
            Some((_, document)) => Ok(document.clone()),
            None if path == "/" => Err(HandshakeError::NotAnUpgrade),
            None => Err(HandshakeError::NotFound),
        }
    }
}

fn embedded(media_type: &str, body: &str) -> Document {
    // It changes with the server: a browser asks each time.
    Document::new(media_type, body.into()).with_header("Cache-Control", "no-cache")
}

/// Where the browser client is.
pub const CLIENT_PATH: &str = "/frameloop.js";

const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// What the demo page may do: nothing but run its own script and connect.
const DEMO_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Input;
    use crate::protocol::handshake::OpeningHandshake;
    use crate::protocol::handshake::document::Opening;

    fn get(site: &Site, target: &str) -> Result<Document, HandshakeError> {
        let mut head = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
        match OpeningHandshake::default().poll_request(&mut Input::new(&mut head)) {
            Ok(Some(Opening::Document(request))) => site.document(&request),
            other => panic!("{target}: {other:?}"),
        }
    }

    #[test]
    fn the_demo_has_a_page_whose_files_are_there() {
        let site = Site::demo();
        let page = get(&site, "/?room=a").unwrap();
        let page = str::from_utf8(page.body()).unwrap().to_owned();
        for (path, name) in [("/style.css", "style.css"), ("/demo.js", "demo.js")] {
            assert!(page.contains(name), "{name}");
            assert!(!get(&site, path).unwrap().body().is_empty());
        }
        let outside = ["src=\"http", "href=\"http", "src=\"//", "href=\"//"];
        assert!(!outside.iter().any(|start| page.contains(start)), "no external request");
        assert!(get(&site, CLIENT_PATH).unwrap().body().starts_with(b"/"));
        assert_eq!(get(&site, "/nothing").unwrap_err(), HandshakeError::NotFound);
    }

    #[test]
    fn without_the_demo_there_is_the_client_only() {
        let site = Site::client_only();
        assert!(get(&site, CLIENT_PATH).is_ok());
        assert_eq!(get(&site, "/").unwrap_err(), HandshakeError::NotAnUpgrade);
        assert_eq!(get(&site, "/demo.js").unwrap_err(), HandshakeError::NotFound);
    }
}
