//! RFC 8259: one object, written member by member into a string.

use std::fmt::{self, Display, Write};

/// An object that is being written. A member without a value is left out.
pub(super) struct Object<'o>(&'o mut String);

impl<'o> Object<'o> {
    /// The beginning of an object.
    pub(super) fn start(out: &'o mut String) -> Object<'o> {
        out.push('{');
        Object(out)
    }

    /// The beginning of a message.
    pub(super) fn message(out: &'o mut String, message_type: &str) -> Object<'o> {
        Object::start(out).text("type", Some(&message_type))
    }

    /// A string.
    pub(super) fn text(mut self, name: &str, value: Option<&dyn Display>) -> Object<'o> {
        if let Some(value) = value {
            push_string(self.name(&name), value);
        }
        self
    }

    /// A number.
    pub(super) fn number(mut self, name: &str, value: impl Into<Option<u64>>) -> Object<'o> {
        if let Some(value) = value.into() {
            push(self.name(&name), format_args!("{value}"));
        }
        self
    }

    /// `true` or `false`.
    pub(super) fn flag(self, name: &str, value: impl Into<Option<bool>>) -> Object<'o> {
        self.raw(name, value.into().map(|value| if value { "true" } else { "false" }))
    }

    /// A value that is JSON already.
    pub(super) fn raw<'v>(mut self, name: &str, json: impl Into<Option<&'v str>>) -> Object<'o> {
        if let Some(json) = json.into() {
            self.name(&name).push_str(json);
        }
        self
    }

    /// Members that are JSON already, each with a comma before it.
    pub(super) fn members(self, members: &str) -> Object<'o> {
        self.0.push_str(members);
        self
    }

    /// A value of any kind, which `write` writes.
    pub(super) fn value(mut self, name: &dyn Display, write: impl FnOnce(&mut String)) -> Object<'o> {
        write(self.name(name));
        self
    }

    /// An array with one element for each item.
    pub(super) fn list<T>(self, name: &str, items: &[T], write: impl Fn(&T, &mut String)) -> Object<'o> {
        self.value(&name, |out| {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        })
    }

    /// The end of the object.
    pub(super) fn end(self) {
        self.0.push('}');
    }

    fn name(&mut self, name: &dyn Display) -> &mut String {
        // No value ends with an opening brace: what does is an object without members so far.
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        push_string(self.0, name);
        self.0.push(':');
        self.0
    }
}

/// Writes a JSON string. What must be escaped is; all else stays as it is, so a text is written in one way only.
pub(super) fn push_string(out: &mut String, text: &dyn Display) {
    out.push('"');
    push(&mut Escaped(out), format_args!("{text}"));
    out.push('"');
}

fn push(out: &mut impl Write, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes all that is written to it");
}

/// Takes text and writes it as the inside of a JSON string.
struct Escaped<'o>(&'o mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain_from = 0;
        for (at, byte) in text.bytes().enumerate() {
            let short = match byte {
                b'"' | b'\\' => char::from(byte),
                b'\n' => 'n',
                b'\r' => 'r',
                b'\t' => 't',
                0..0x20 => 'u',
                _ => continue,
            };
            self.0.push_str(&text[plain_from..at]);
            self.0.extend(['\\', short]);
            if short == 'u' {
                write!(self.0, "{byte:04x}")?;
            }
            plain_from = at + 1;
        }
        self.0.push_str(&text[plain_from..]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_read_back_as_it_was() {
        let every_character: String = ('\0'..'\u{900}').chain(['\u{2028}', '\u{ffff}', '😀']).collect();
        for text in ["", "\"", "\\", "a\"b\\c", "\u{1f}", &every_character] {
            let mut json = String::new();
            push_string(&mut json, &text);
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            assert_eq!(json.chars().filter(|&c| c < ' ').count(), 0);
        }
    }

    #[test]
    fn members_without_a_value_are_left_out_and_commas_stand_between_the_others() {
        let mut out = String::from("before");
        Object::start(&mut out)
            .number("none", None)
            .raw("a", "{}")
            .value(&"b", |out| Object::start(out).text("none", None).end())
            .list("c", &[1, 2], |_, out| Object::start(out).flag("on", true).end())
            .list("d", &[0; 0], |_, _| unreachable!("there are none"))
            .end();
        assert_eq!(out, r#"before{"a":{},"b":{},"c":[{"on":true},{"on":true}],"d":[]}"#);
    }
}
