//! Reads Rust as far as the rules of architecture need it: the paths that a file names, written out in full.
//!
//! Comments, literals and names that were given with `as` do not deceive it; macros that make paths would.

/// What one file names.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) mentions: Vec<Mention>,
    /// The files of modules that are there for tests only: `#[cfg(test)] mod tests;`.
    pub(crate) test_files: Vec<String>,
}

/// A name and where it stands.
#[derive(Debug)]
pub(crate) struct Mention {
    /// A path from its root, such as `crate::server::Config` or `std::io::*`; a macro with its `!`; a method that is
    /// called with its `.` before; or `unsafe`.
    pub(crate) name: String,
    pub(crate) line: usize,
    /// It stands in an item with `#[cfg(test)]`.
    pub(crate) in_tests: bool,
}

impl Source {
    /// Reads the file with this path from the root of the package.
    pub(crate) fn parse(file: &str, text: &str) -> Source {
        let tokens = tokens(text);
        // Twice, since a name can be used above the line that imports it.
        let first = Reader { names: Vec::new(), ..Reader::new(file, &tokens) }.read();
        Reader { names: first.names, ..Reader::new(file, &tokens) }.read().source
    }
}

struct Reader<'t> {
    file: &'t str,
    tokens: &'t [Token],
    at: usize,
    /// The modules in which we are; those that stand in braces with the depth outside them.
    modules: Vec<(String, Option<usize>)>,
    depth: usize,
    /// The end of the item with `#[cfg(test)]` in which we are.
    tests_end: usize,
    /// Names that stand for longer paths: imports and modules of this file.
    names: Vec<(String, Vec<String>)>,
    source: Source,
}

impl<'t> Reader<'t> {
    fn new(file: &'t str, tokens: &'t [Token]) -> Reader<'t> {
        let path = file.trim_start_matches("src/").trim_end_matches(".rs");
        let modules = path.split('/').filter(|name| !["lib", "main", "mod"].contains(name));
        let modules = std::iter::once("crate").chain(modules).map(|name| (name.to_owned(), None)).collect();
        let source = Source::default();
        Reader { file, tokens, at: 0, modules, depth: 0, tests_end: 0, names: Vec::new(), source }
    }

    fn read(mut self) -> Reader<'t> {
        while let Some(token) = self.tokens.get(self.at) {
            let (text, next) = (token.text.as_str(), self.text(1));
            match text {
                "{" => self.depth += 1,
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    self.modules.pop_if(|(_, depth)| *depth == Some(self.depth));
                }
                "#" if self.is_cfg_test() => {
                    self.at += CFG_TEST.len();
                    self.tests_end = self.tests_end.max(self.item_end());
                    continue;
                }
                "mod" if is_name(next) => {
                    self.module();
                    continue;
                }
                "use" if next != "<" => {
                    self.at += 1;
                    self.use_tree(&[]);
                    continue;
                }
                "extern" if next == "crate" => {
                    self.at += 2;
                    self.use_tree(&[]);
                    continue;
                }
                "unsafe" => self.mention("unsafe".to_owned()),
                "." if is_name(next) && self.text(2) == "(" => {
                    self.at += 1;
                    self.mention(format!(".{next}"));
                }
                _ if is_name(text) => {
                    self.path();
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
        self
    }

    fn text(&self, ahead: usize) -> &'t str {
        self.tokens.get(self.at + ahead).map_or("", |token| &token.text)
    }

    fn mention(&mut self, name: String) {
        let line = self.tokens[self.at.min(self.tokens.len() - 1)].line;
        self.source.mentions.push(Mention { name, line, in_tests: self.at < self.tests_end });
    }

    /// `mod name;` or the beginning of `mod name {`.
    fn module(&mut self) {
        let name = self.text(1).to_owned();
        let path = self.modules.iter().map(|(name, _)| name).chain([&name]).cloned().collect();
        self.names.push((name.clone(), path));
        if self.text(2) == "{" {
            self.modules.push((name, Some(self.depth)));
            self.depth += 1;
        } else if self.at < self.tests_end {
            let folder = self.file.trim_end_matches(".rs");
            let folder = folder.strip_suffix("/mod").unwrap_or(folder);
            self.source.test_files.push(format!("{folder}/{name}.rs"));
        }
        self.at += 3;
    }

    /// What follows `use` up to its end, with the path before the braces in which it stands.
    fn use_tree(&mut self, prefix: &[String]) {
        let mut path = prefix.to_vec();
        loop {
            match self.text(0) {
                "::" => {}
                "{" => loop {
                    self.at += 1;
                    self.use_tree(&path);
                    if self.text(0) != "," {
                        self.at += 1; // the closing brace
                        return;
                    }
                },
                "self" if !path.is_empty() => {}
                segment if is_name(segment) || segment == "*" => path.push(segment.to_owned()),
                _ => return, // an empty place between braces
            }
            if matches!(self.text(1), "," | "}" | ";" | "as" | "") {
                break;
            }
            self.at += 1;
        }
        let full = self.resolve(&path);
        self.mention(full.join("::"));
        self.at += 1;
        let mut name = path.last().cloned().unwrap_or_default();
        if self.text(0) == "as" {
            name = self.text(1).to_owned();
            self.at += 2;
        }
        self.names.push((name, full));
    }

    /// Names joined by `::` outside an import. One name alone says nothing, unless it is a macro.
    fn path(&mut self) {
        let mut path = vec![self.text(0).to_owned()];
        while self.text(1) == "::" && is_name(self.text(2)) {
            path.push(self.text(2).to_owned());
            self.at += 2;
        }
        let is_macro = self.text(1) == "!" && self.text(2) != "=";
        let full = self.resolve(&path).join("::");
        if is_macro {
            self.mention(format!("{}!", path[path.len() - 1]));
        }
        if path.len() > 1 || is_macro {
            self.mention(full);
        }
        self.at += 1;
    }

    /// The path from its root.
    fn resolve(&self, path: &[String]) -> Vec<String> {
        let modules = || self.modules.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let supers = path.iter().take_while(|segment| *segment == "super").count();
        let (mut full, rest) = match path.first().map(String::as_str) {
            Some("self") => (modules(), &path[1..]),
            Some("super") => (modules(), &path[supers..]),
            Some(first) => match self.names.iter().rfind(|(name, _)| name == first) {
                Some((_, full)) => (full.clone(), &path[1..]),
                None => (Vec::new(), path),
            },
            None => (Vec::new(), path),
        };
        if supers > 0 {
            full.truncate(full.len().saturating_sub(supers).max(1));
        }
        full.extend_from_slice(rest);
        full
    }

    fn is_cfg_test(&self) -> bool {
        CFG_TEST.iter().enumerate().all(|(ahead, text)| self.text(ahead) == *text)
    }

    /// The end of the item that begins here: its `;`, or the brace that closes its block.
    fn item_end(&self) -> usize {
        let mut open = 0_usize;
        let is_import = self.tokens[self.at..].iter().take(6).take_while(|t| t.text != "{").any(|t| t.text == "use");
        for (at, token) in self.tokens.iter().enumerate().skip(self.at) {
            match token.text.as_str() {
                "{" | "(" | "[" => open += 1,
                "}" | ")" | "]" => {
                    open = open.saturating_sub(1);
                    if open == 0 && token.text == "}" && !is_import {
                        return at + 1;
                    }
                }
                ";" if open == 0 => return at + 1,
                _ => {}
            }
        }
        self.tokens.len()
    }
}

#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
}

/// Words, `::` and single characters. Comments are left out; a literal is one `"`.
fn tokens(text: &str) -> Vec<Token> {
    let (mut tokens, mut line, mut rest) = (Vec::new(), 1, text);
    while let Some(first) = rest.chars().next() {
        let (len, token) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), "")
        } else if rest.starts_with("/*") {
            (comment_len(rest), "")
        } else if let Some(len) = literal_len(rest) {
            (len, "\"")
        } else if is_word(first) || first == '\'' {
            let first_len = first.len_utf8();
            let len = rest[first_len..].find(|c| !is_word(c)).map_or(rest.len(), |end| first_len + end);
            (len, &rest[..len])
        } else if rest.starts_with("::") {
            (2, "::")
        } else {
            (first.len_utf8(), &rest[..first.len_utf8()])
        };
        if !token.trim().is_empty() {
            tokens.push(Token { text: token.to_owned(), line });
        }
        line += rest[..len].matches('\n').count();
        rest = &rest[len..];
    }
    tokens
}

/// Block comments can stand in one another.
fn comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let step = match text.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of the string, byte string or character at the front, if there is one.
fn literal_len(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r"].into_iter().find(|prefix| text.starts_with(prefix)).unwrap_or("");
    for prefix in [prefix, ""] {
        let rest = &text[prefix.len()..];
        let hashes = if prefix.ends_with('r') { rest.len() - rest.trim_start_matches('#').len() } else { 0 };
        let body = &rest[hashes..];
        if let Some(body) = body.strip_prefix('"') {
            let len = if prefix.ends_with('r') {
                let end = format!("\"{}", "#".repeat(hashes));
                body.find(&end).map_or(body.len(), |at| at + end.len())
            } else {
                quoted_len(body, '"')
            };
            return Some(prefix.len() + hashes + 1 + len);
        }
        if let Some(body) = body.strip_prefix('\'') {
            // Unlike a character, a lifetime has no second quote.
            let mut characters = body.chars();
            let is_character = characters.next() == Some('\\') || characters.next() == Some('\'');
            return is_character.then(|| prefix.len() + 1 + quoted_len(body, '\''));
        }
    }
    None
}

/// The length up to the closing quote, that included.
fn quoted_len(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in body.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    body.len()
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
