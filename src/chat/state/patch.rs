//! RFC 8259: the text of a merge patch, read into a tree of changes.
//!
//! The wire parser has checked that the text is JSON. So this reader finds where names and values begin and end, and
//! does not ask again whether each number is well formed; a text that is no JSON may pass, but does no harm.

use std::borrow::Cow;
use std::fmt::Write;

use super::StateError;
use crate::chat::wire::JSON_DEPTH_MAX;

/// What a patch does to the member of one name.
#[derive(Debug)]
pub(super) enum Change<'t> {
    /// A null: the member goes.
    Remove,
    /// A scalar or an array: the member becomes this, as it was written.
    Set(&'t str),
    /// An object: the member becomes an object, if it is none, and is patched with this.
    Merge(Patch<'t>),
}

/// The changes of one object, each with the name as in JSON (see [`plain_name`]), in the order of the names.
pub(super) type Patch<'t> = Vec<(Cow<'t, str>, Change<'t>)>;

/// Reads the object that a patch is.
///
/// # Errors
/// [`NoObject`](StateError::NoObject), [`Repeated`](StateError::Repeated) or [`TooDeep`](StateError::TooDeep):
/// whichever comes first in the text.
pub(super) fn parse(text: &str, depth_max: usize) -> Result<Patch<'_>, StateError> {
    // The reader recurses, so it has a bound of its own.
    let depth_max = depth_max.min(JSON_DEPTH_MAX);
    let mut reader = Reader { rest: text, depth_max, depth: 0 };
    let patch = reader.object()?;
    reader.skip_space();
    if reader.rest.is_empty() { Ok(patch) } else { Err(StateError::NoObject) }
}

struct Reader<'t> {
    rest: &'t str,
    depth_max: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn object(&mut self) -> Result<Patch<'t>, StateError> {
        let mut patch = Patch::new();
        self.list('{', '}', |reader| {
            let name = reader.token(Reader::string)?;
            let name = plain_name(name).ok_or(StateError::NoObject)?;
            reader.expect(':')?;
            patch.push((name, reader.value()?));
            Ok(())
        })?;
        patch.shrink_to_fit(); // many small objects must not take many times the memory of their text
        patch.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let Some(pair) = patch.windows(2).find(|pair| pair[0].0 == pair[1].0) else { return Ok(patch) };
        let name = pair[0].0.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or_default();
        Err(StateError::Repeated(name.chars().take(NAME_CHARS_SHOWN).collect()))
    }

    fn value(&mut self) -> Result<Change<'t>, StateError> {
        self.skip_space();
        match self.rest.as_bytes().first() {
            Some(b'{') => self.object().map(Change::Merge),
            Some(b'[') => self.token(Reader::array).map(Change::Set),
            Some(b'"') => self.token(Reader::string).map(Change::Set),
            _ => match self.token(Reader::word)? {
                "null" => Ok(Change::Remove),
                word => Ok(Change::Set(word)),
            },
        }
    }

    /// The text that `read` goes over.
    fn token(&mut self, read: fn(&mut Reader<'t>) -> Result<(), StateError>) -> Result<&'t str, StateError> {
        self.skip_space();
        let start = self.rest;
        read(self)?;
        Ok(&start[..start.len() - self.rest.len()])
    }

    /// Objects inside of arrays are kept as text, but names must not repeat in them either: so their trees are made,
    /// and dropped.
    fn array(&mut self) -> Result<(), StateError> {
        self.list('[', ']', |reader| reader.value().map(drop))
    }

    fn list(
        &mut self,
        open: char,
        close: char,
        mut item: impl FnMut(&mut Reader<'t>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        self.expect(open)?;
        self.depth += 1;
        if self.depth > self.depth_max {
            return Err(StateError::TooDeep { depth_max: self.depth_max });
        }
        if !self.accept(close) {
            loop {
                item(self)?;
                if self.accept(close) {
                    break;
                }
                self.expect(',')?;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), StateError> {
        self.expect('"')?;
        loop {
            let at = self.rest.bytes().position(|byte| matches!(byte, b'"' | b'\\')).ok_or(StateError::NoObject)?;
            let mut rest = self.rest[at..].chars();
            let is_end = rest.next() == Some('"');
            if !is_end {
                rest.next(); // what stands behind a backslash ends no string
            }
            self.rest = rest.as_str();
            if is_end {
                return Ok(());
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<(), StateError> {
        let rest = self.rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if rest.len() == self.rest.len() {
            return Err(StateError::NoObject);
        }
        self.rest = rest;
        Ok(())
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn accept(&mut self, sign: char) -> bool {
        self.skip_space();
        self.rest.strip_prefix(sign).map(|rest| self.rest = rest).is_some()
    }

    fn expect(&mut self, sign: char) -> Result<(), StateError> {
        if self.accept(sign) { Ok(()) } else { Err(StateError::NoObject) }
    }
}

/// The shortest way to write a name, quotes included: no character is escaped that need not be. Then two names are the
/// same if their texts are, and a name need not be escaped again to be written.
fn plain_name(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut rest = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut plain = String::with_capacity(text.len());
    plain.push('"');
    while let Some((before, escape)) = rest.split_once('\\') {
        plain.push_str(before);
        let character;
        (character, rest) = unescape(escape)?;
        push_escaped(&mut plain, character);
    }
    plain.push_str(rest);
    plain.push('"');
    Some(Cow::Owned(plain))
}

/// The character that an escape means, and what follows it. The backslash is gone already.
fn unescape(escape: &str) -> Option<(char, &str)> {
    let letter = escape.chars().next()?;
    if letter != 'u' {
        let of_letter = ESCAPES.into_iter().find(|&(of, _)| of == letter);
        // `\/` is the one escape that is never needed.
        let character = if letter == '/' { '/' } else { of_letter?.1 };
        return Some((character, &escape[letter.len_utf8()..]));
    }
    let unit = |text: &str| u16::from_str_radix(text.get(1..5)?, 16).ok();
    let first = unit(escape)?;
    if let Some(character) = char::from_u32(first.into()) {
        return Some((character, &escape[5..]));
    }
    let second = unit(escape[5..].strip_prefix('\\')?)?;
    let character = char::decode_utf16([first, second]).next()?.ok()?;
    Some((character, &escape[11..]))
}

fn push_escaped(out: &mut String, character: char) {
    if let Some((letter, _)) = ESCAPES.into_iter().find(|&(_, of)| of == character) {
        out.extend(['\\', letter]);
    } else if character < ' ' {
        write!(out, "\\u{:04x}", u32::from(character)).expect("a String takes any text");
    } else {
        out.push(character);
    }
}

/// RFC 8259 §7: letters behind a backslash, and what they stand for.
const ESCAPES: [(char, char); 7] =
    [('"', '"'), ('\\', '\\'), ('b', '\u{8}'), ('f', '\u{c}'), ('n', '\n'), ('r', '\r'), ('t', '\t')];

/// Characters of a peer's name that are shown to it in an error.
const NAME_CHARS_SHOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_plain_form_however_it_is_escaped() {
        for (text, plain) in [
            (r#""a""#, r#""a""#),
            (r#""\u0061\u00E9\u00e9""#, r#""aéé""#),
            (r#""\/\u002f/""#, r#""///""#),
            (r#""\u0022\"\u005c\\""#, r#""\"\"\\\\""#),
            (r#""\u000a\n\u0009\t\u000d\r\u0008\b\u000C\f""#, r#""\n\n\t\t\r\r\b\b\f\f""#),
            (r#""\u0000\u001F\u007f""#, "\"\\u0000\\u001f\u{7f}\""),
            (r#""\ud83d\ude00x😀""#, r#""😀x😀""#),
            (r#""\\u0061""#, r#""\\u0061""#),
            (r#""\u0020\u0021""#, r#"" !""#),
        ] {
            let read = plain_name(text).unwrap();
            assert_eq!(read, plain);
            assert!(read.len() <= text.len(), "a plain form is never longer");
            let value: String = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::from_str::<String>(plain).unwrap(), value, "it means the same");
        }
    }

    #[test]
    fn a_name_that_no_json_parser_lets_pass_is_refused() {
        for text in [
            r#""\ud83d""#,
            r#""\ud83d\n""#,
            r#""\ud83d\u0041""#,
            r#""\ude00\ud83d""#,
            r#""\u00""#,
            r#""\u00é0""#,
            r#""\x""#,
            r#""\é""#,
            r#""\""#,
        ] {
            assert_eq!(plain_name(text), None, "{text}");
        }
    }

    #[test]
    fn nesting_beyond_the_bound_ends_the_reading() {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let nested = |depth: usize| format!(r#"{{"a":{}0{}}}"#, open.repeat(depth - 1), close.repeat(depth - 1));
            for depth_max in [1, 2, 5, JSON_DEPTH_MAX] {
                assert!(parse(&nested(depth_max), depth_max).is_ok());
                assert_eq!(parse(&nested(depth_max + 1), depth_max).unwrap_err(), StateError::TooDeep { depth_max });
            }
            let endless = parse(&nested(100_000), usize::MAX).unwrap_err();
            assert_eq!(endless, StateError::TooDeep { depth_max: JSON_DEPTH_MAX }, "no stack overflows");
        }
        let wide = format!(r#"{{"a":[{}{{}}]}}"#, "[],{},".repeat(1000));
        assert!(parse(&wide, 3).is_ok(), "many, but not deep");
    }
}
