//! `--static DIR`: the files of a folder, over HTTP.
//!
//! A path is resolved by the system, with all its links, and is served only if it then lies in the folder: whatever tricks
//! a request plays, what is outside stays outside.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use frameloop::protocol::{Document, HandshakeError};

/// A folder whose files are served. Those that were asked for last stay in memory, so that however many clients take one
/// slowly it is there once.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    kept: BTreeMap<PathBuf, Kept>,
    /// What was replaced by another content, and is still being sent.
    leaving: Vec<Document>,
    /// Of both.
    kept_bytes: usize,
    /// Requests so far: by it the file is found that was not asked for the longest.
    requests: u64,
    has_warned: bool,
}

#[derive(Debug)]
struct Kept {
    modified: Option<SystemTime>,
    document: Document,
    last_request: u64,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> io::Result<Folder> {
        let root = fs::canonicalize(path)?;
        if !fs::metadata(&root)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Folder { root, kept: BTreeMap::new(), leaving: Vec::new(), kept_bytes: 0, requests: 0, has_warned: false })
    }

    /// The file at the path of a request; `index.html` for a folder.
    ///
    /// # Errors
    /// 404 if there is none, or none that may be served: hidden, outside, no plain file, or too large. 503 if slow clients
    /// hold so many others that there is no memory for it.
    pub(crate) fn document(&mut self, path: &str) -> Result<Document, HandshakeError> {
        match self.find(path) {
            Some(Found::File(file, metadata)) => self.read(file, &metadata),
            Some(Found::Folder) => Ok(Document::moved_to(&format!("{path}/"))),
            None => Err(HandshakeError::NotFound),
        }
    }

    fn find(&mut self, path: &str) -> Option<Found> {
        let relative = unescape(path)?;
        let mut file = fs::canonicalize(self.root.join(&relative)).ok()?;
        if !file.starts_with(&self.root) {
            return None;
        }
        let mut metadata = fs::metadata(&file).ok()?;
        if metadata.is_dir() {
            if !path.ends_with('/') {
                // What the page names is relative to the folder only if the path ends like one.
                return Some(Found::Folder);
            }
            file = fs::canonicalize(file.join("index.html")).ok().filter(|file| file.starts_with(&self.root))?;
            metadata = fs::metadata(&file).ok()?;
        } else if path.ends_with('/') {
            return None;
        }
        if metadata.len() > FILE_BYTES_MAX && !std::mem::replace(&mut self.has_warned, true) {
            log::warn!(
                "--static: '{}' is not served, nor is any other file of more than {FILE_BYTES_MAX} bytes",
                file.display()
            );
        }
        (metadata.is_file() && metadata.len() <= FILE_BYTES_MAX).then_some(Found::File(file, metadata))
    }

    /// The content of a file, as it is now.
    fn read(&mut self, file: PathBuf, metadata: &Metadata) -> Result<Document, HandshakeError> {
        self.requests += 1;
        let modified = metadata.modified().ok();
        if let Some(kept) = self.kept.get_mut(&file)
            && kept.modified == modified
            && kept.document.body().len() as u64 == metadata.len()
        {
            kept.last_request = self.requests;
            return Ok(kept.document.clone());
        }
        self.make_room(metadata.len() as usize)?;
        let mut body = Vec::with_capacity(metadata.len() as usize);
        let content = File::open(&file).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut body));
        content.map_err(|_| HandshakeError::NotFound)?;
        let document = Document::new(media_type(&file), body)
            .with_header("Cache-Control", "no-cache")
            .with_header("Content-Security-Policy", "frame-ancestors 'none'");
        self.keep(file, Kept { modified, document: document.clone(), last_request: self.requests });
        Ok(document)
    }

    fn keep(&mut self, file: PathBuf, kept: Kept) {
        self.kept_bytes += kept.document.body().len();
        if let Some(old) = self.kept.insert(file, kept) {
            self.leaving.push(old.document);
            self.drop_sent();
        }
    }

    /// What was replaced goes when it is sent.
    fn drop_sent(&mut self) {
        for sent in self.leaving.extract_if(.., |document| !document.is_shared()) {
            self.kept_bytes -= sent.body().len();
        }
    }

    /// Those go that were not asked for the longest, but not while a connection still sends them: their memory would not
    /// be free.
    fn make_room(&mut self, bytes: usize) -> Result<(), HandshakeError> {
        self.drop_sent();
        while self.kept_bytes + bytes > KEPT_BYTES_MAX || self.kept.len() >= KEPT_FILES_MAX {
            let idle = self.kept.iter().filter(|(_, kept)| !kept.document.is_shared());
            let Some(path) = idle.min_by_key(|(_, kept)| kept.last_request).map(|(path, _)| path.clone()) else {
                break;
            };
            if let Some(old) = self.kept.remove(&path) {
                self.kept_bytes -= old.document.body().len();
            }
        }
        let has_room = self.kept_bytes + bytes <= SENT_BYTES_MAX;
        if has_room { Ok(()) } else { Err(HandshakeError::Overloaded) }
    }
}

/// What a path leads to.
enum Found {
    File(PathBuf, Metadata),
    /// A folder, whose path must end like one.
    Folder,
}

/// The path in the folder that the path of a request means, its escapes resolved. `None` for one that nobody asks for in good
/// faith: that is empty between two slashes, goes up, is hidden, or holds what no name of a file should.
fn unescape(path: &str) -> Option<PathBuf> {
    let mut relative = PathBuf::new();
    let parts = path.strip_prefix('/')?;
    let parts = parts.strip_suffix('/').unwrap_or(parts);
    for part in parts.split('/').filter(|_| !parts.is_empty()) {
        let mut name = Vec::with_capacity(part.len());
        let mut bytes = part.bytes();
        while let Some(byte) = bytes.next() {
            name.push(match byte {
                b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
                byte => byte,
            });
        }
        let name = String::from_utf8(name).ok()?;
        let is_strange = name.contains(|c: char| c.is_control() || c == '/' || c == '\\');
        if name.is_empty() || name.starts_with('.') || is_strange {
            return None;
        }
        relative.push(name);
    }
    Some(relative)
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// By the end of the name; what is not known is only offered for download.
fn media_type(file: &Path) -> &'static str {
    let end = file.extension().and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase();
    let known = MEDIA_TYPES.iter().find(|(ends, _)| ends.contains(&end.as_str()));
    known.map_or("application/octet-stream", |(_, media_type)| media_type)
}

const MEDIA_TYPES: [(&[&str], &str); 19] = [
    (&["html", "htm"], "text/html; charset=utf-8"),
    (&["js", "mjs"], "text/javascript; charset=utf-8"),
    (&["css"], "text/css; charset=utf-8"),
    (&["json", "map"], "application/json"),
    (&["webmanifest"], "application/manifest+json"),
    (&["txt", "md"], "text/plain; charset=utf-8"),
    (&["svg"], "image/svg+xml"),
    (&["png"], "image/png"),
    (&["jpg", "jpeg"], "image/jpeg"),
    (&["gif"], "image/gif"),
    (&["webp"], "image/webp"),
    (&["ico"], "image/x-icon"),
    (&["woff2"], "font/woff2"),
    (&["wasm"], "application/wasm"),
    (&["pdf"], "application/pdf"),
    (&["xml"], "application/xml"),
    (&["mp3"], "audio/mpeg"),
    (&["mp4"], "video/mp4"),
    (&["webm"], "video/webm"),
];

/// A file of more bytes is not served: the event loop reads it in one go.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bytes of files kept, and their number.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;
const KEPT_FILES_MAX: usize = 1000;

/// Bytes of files that connections still send, each file counted once.
const SENT_BYTES_MAX: usize = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder of its own for a test, and what is beside it.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let path = std::env::temp_dir().join(format!("frameloop-folder-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("site/sub dir")).unwrap();
            fs::write(path.join("secret"), "secret").unwrap();
            for (file, text) in [("index.html", "<p>"), ("a.js", "a"), (".hidden", "h"), ("sub dir/index.html", "sub")]
            {
                fs::write(path.join("site").join(file), text).unwrap();
            }
            Place(path)
        }

        fn site(&self) -> PathBuf {
            self.0.join("site")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn body(folder: &mut Folder, path: &str) -> Option<String> {
        folder.document(path).ok().map(|document| String::from_utf8_lossy(document.body()).into_owned())
    }

    #[test]
    fn files_are_served_with_their_type_and_folders_by_their_index() {
        let place = Place::new("types");
        let mut folder = Folder::open(&place.site()).unwrap();
        assert_eq!(body(&mut folder, "/").as_deref(), Some("<p>"));
        assert_eq!(body(&mut folder, "/index.html").as_deref(), Some("<p>"));
        assert_eq!(body(&mut folder, "/%61.js").as_deref(), Some("a"));
        assert_eq!(body(&mut folder, "/sub%20dir/").as_deref(), Some("sub"));
        assert_eq!(folder.document("/sub%20dir").unwrap().status(), "301");
        for (name, expected) in [("a.JS", "text/javascript; charset=utf-8"), ("a", "application/octet-stream")] {
            assert_eq!(media_type(Path::new(name)), expected);
        }
        assert!(Folder::open(&place.site().join("index.html")).is_err(), "no folder");
        assert!(Folder::open(&place.site().join("nothing")).is_err());
    }

    #[test]
    fn what_is_outside_or_hidden_is_not_there() {
        let place = Place::new("outside");
        symlink("../secret", place.site().join("link")).unwrap();
        symlink("..", place.site().join("up")).unwrap();
        symlink("a.js", place.site().join("inside.js")).unwrap();
        let mut folder = Folder::open(&place.site()).unwrap();
        assert_eq!(body(&mut folder, "/inside.js").as_deref(), Some("a"), "a link within is as good as the file");
        for path in [
            "/../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            "/%2e%2e%2fsecret",
            "/..\\secret",
            "/..%5csecret",
            "/link",
            "/up/secret",
            "/up/",
            "/up",
            "/.hidden",
            "/%2ehidden",
            "//etc/passwd",
            "/a.js/",
            "/a.js%00.html",
            "/a.js%0a",
            "/%",
            "/%4",
            "/%zz",
            "/%ff",
            "/nothing",
            "/.",
            "/..",
            "/./a.js",
            "/sub dir//index.html",
            "",
        ] {
            assert_eq!(body(&mut folder, path), None, "{path}");
        }
    }

    #[test]
    fn a_file_that_changed_is_read_again() {
        let place = Place::new("changed");
        let mut folder = Folder::open(&place.site()).unwrap();
        assert_eq!(body(&mut folder, "/a.js").as_deref(), Some("a"));
        fs::write(place.site().join("a.js"), "longer").unwrap();
        assert_eq!(body(&mut folder, "/a.js").as_deref(), Some("longer"));
        assert_eq!((folder.kept.len(), folder.kept_bytes), (1, 6));
        fs::remove_file(place.site().join("a.js")).unwrap();
        assert_eq!(body(&mut folder, "/a.js"), None);
    }

    #[test]
    fn memory_for_files_is_bounded() {
        let place = Place::new("bounded");
        let mut folder = Folder::open(&place.site()).unwrap();
        for (name, len) in [("large", FILE_BYTES_MAX + 1), ("0", FILE_BYTES_MAX), ("1", FILE_BYTES_MAX)] {
            File::create(place.site().join(name)).unwrap().set_len(len).unwrap();
        }
        assert_eq!(body(&mut folder, "/large"), None);
        for round in 0..6 {
            let name = format!("{round}");
            File::create(place.site().join(&name)).unwrap().set_len(FILE_BYTES_MAX).unwrap();
            assert!(folder.document(&format!("/{name}")).is_ok());
        }
        assert_eq!((folder.kept.len(), folder.kept_bytes), (4, KEPT_BYTES_MAX));
        assert!(!folder.kept.keys().any(|file| file.ends_with("0") || file.ends_with("1")), "the oldest have gone");
        // What connections still send is memory too, though nobody else asks for it.
        let path = |number: usize| format!("/{}", ["2", "3", "4", "5"][number % 4]);
        let mut sent: Vec<Document> = (0..4).map(|number| folder.document(&path(number)).unwrap()).collect();
        let error = loop {
            let number = 6 + sent.len() / 2 * 2; // each second one is the same file, changed
            File::create(place.site().join(number.to_string()))
                .unwrap()
                .set_len(FILE_BYTES_MAX - (sent.len() % 2) as u64)
                .unwrap();
            match folder.document(&format!("/{number}")) {
                Ok(document) => sent.push(document),
                Err(error) => break error,
            }
        };
        assert_eq!(error, HandshakeError::Overloaded);
        assert_eq!(sent.len() as u64, SENT_BYTES_MAX as u64 / FILE_BYTES_MAX);
        assert!(folder.document(&path(0)).is_ok(), "that is there");
        drop(sent);
        assert!(folder.document("/10").is_ok() && folder.document("/0").is_ok());
        assert!(folder.kept_bytes <= KEPT_BYTES_MAX);
    }
}
