//! A table of tokens, one a line: `user:token`, and behind it perhaps `rooms=a,b` and `read=c`.
//!
//! ```text
//! # who      what it may do
//! ann:0h8fDJsFNdoL72LLSpTD
//! bob:3FrW5Ii6Mx1Iux6ckVjP rooms=lobby,team-* read=news
//! ```
//!
//! The user ends at the first `:`, and the token at the first blank. Columns are set apart by blanks, names of rooms by
//! commas; see [`Rights`] for what they mean. Lines that are empty or begin with `#` are skipped. A user may have several
//! lines, so that a token can be replaced by another without a gap.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;

use super::secret::is_same_secret;
use super::{AuthError, Grant, Rights, check_token, is_user};

/// The tokens of a file, and what each of them grants.
#[derive(Default)]
pub struct TokenTable {
    /// By the hash of their tokens. Hardly ever have two the same.
    lines: HashMap<u64, Vec<Line>>,
    /// What the hashes are made with. It is random and nobody sees it: so how long it takes to look a hash up, which nobody
    /// can foretell from a token, says nothing of how near the token is to one of the table.
    key: RandomState,
}

struct Line {
    token: Box<str>,
    grant: Grant,
}

impl TokenTable {
    /// Reads what stands in a file.
    ///
    /// # Errors
    /// The first line that breaks a rule.
    pub fn parse(text: &str) -> Result<TokenTable, LineError> {
        if text.len() > FILE_BYTES_MAX {
            let line = 1 + text.bytes().take(FILE_BYTES_MAX).filter(|&byte| byte == b'\n').count();
            return Err(LineError { line, rule: "the file has at most 1 MiB" });
        }
        // Some editors put a byte order mark in front.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut table = TokenTable::default();
        for (at, line) in text.lines().enumerate() {
            let in_line = |rule| LineError { line: at + 1, rule };
            if at == LINES_MAX {
                return Err(in_line("the file has at most 10000 lines"));
            }
            if line.trim_start_matches(BLANKS).starts_with('#') || line.trim_matches(BLANKS).is_empty() {
                continue;
            }
            let (token, grant) = parse_line(line).map_err(in_line)?;
            if table.line(token).is_some() {
                return Err(in_line("the same token stands in a line before"));
            }
            let hash = table.key.hash_one(token);
            table.lines.entry(hash).or_default().push(Line { token: token.into(), grant });
        }
        Ok(table)
    }

    /// What a token grants.
    ///
    /// # Errors
    /// If it is none of the table. How long that takes does not say how near it is to one, and hardly depends on how many
    /// there are.
    pub fn verify(&self, token: &str) -> Result<Grant, AuthError> {
        self.line(token).map(|line| line.grant.clone()).ok_or(AuthError::Invalid("nobody has it"))
    }

    /// The line with this token. Those with another hash are not looked at.
    fn line(&self, token: &str) -> Option<&Line> {
        let lines = self.lines.get(&self.key.hash_one(token))?;
        lines.iter().find(|line| is_same_secret(line.token.as_bytes(), token.as_bytes()))
    }
}

impl fmt::Debug for TokenTable {
    /// They are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenTable({} tokens)", self.lines.values().map(Vec::len).sum::<usize>())
    }
}

/// A line that breaks a rule. As text it holds nothing of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineError {
    /// Its number, from 1.
    pub line: usize,
    /// The rule.
    pub rule: &'static str,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.rule)
    }
}

impl std::error::Error for LineError {}

/// Returns the token of a line, and what it grants.
fn parse_line(line: &str) -> Result<(&str, Grant), &'static str> {
    let (user, rest) = line.split_once(':').ok_or("it has no `:` between a user and a token")?;
    if !is_user(user) || user != user.trim_matches(BLANKS) {
        return Err("a user has 1 to 128 bytes, no control characters, and no blanks around it");
    }
    let mut columns = rest.split(BLANKS);
    let token = columns.next().unwrap_or_default();
    if token.is_empty() {
        return Err("there is no token right behind the first `:`");
    }
    check_token(token.as_bytes()).map_err(|_| "a token has 1 to 8192 characters of visible ASCII")?;
    let (mut rooms, mut read) = (None, None);
    for column in columns.filter(|column| !column.is_empty()) {
        let (list, names) = match column.split_once('=') {
            Some(("rooms", names)) => (&mut rooms, names),
            Some(("read", names)) => (&mut read, names),
            _ => return Err("behind the token may stand `rooms=` and `read=`, and nothing else"),
        };
        let names: Vec<&str> = if names.is_empty() { Vec::new() } else { names.split(',').collect() };
        if list.replace(names).is_some() {
            return Err("a column stands twice");
        }
    }
    let rights = Rights::parse(rooms.as_deref(), read.as_deref())?;
    Ok((token, Grant { user: Rc::from(user), rights, expires_at_ms: None }))
}

const BLANKS: [char; 2] = [' ', '\t'];

/// Lines of a file.
pub const LINES_MAX: usize = 10_000;

/// Bytes of a file.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::super::secret::tests::comparisons;
    use super::*;

    fn grant(text: &str, token: &str) -> Option<Grant> {
        TokenTable::parse(text).unwrap().verify(token).ok()
    }

    fn user(text: &str, token: &str) -> Option<String> {
        grant(text, token).map(|grant| grant.user.to_string())
    }

    fn error(text: &str) -> (usize, &'static str) {
        let LineError { line, rule } = TokenTable::parse(text).map(|_| ()).expect_err(text);
        (line, rule)
    }

    #[test]
    fn a_token_is_its_users_and_a_part_of_it_is_nobodys() {
        let text = "# a comment\n\nann:secret1\n \t # another\n \nbob:secret2\nann:s:ecret#3";
        assert_eq!(user(text, "secret1").as_deref(), Some("ann"));
        assert_eq!(user(text, "secret2").as_deref(), Some("bob"));
        assert_eq!(user(text, "s:ecret#3").as_deref(), Some("ann"), "the user ends at the first colon");
        for token in ["secret", "secret11", "SECRET1", "", "ann:secret1", "ann", "secret3", "#"] {
            assert_eq!(
                TokenTable::parse(text).unwrap().verify(token).unwrap_err(),
                AuthError::Invalid("nobody has it")
            );
        }
        assert_eq!(user("", "x"), None);
    }

    #[test]
    fn line_ends_of_other_systems_are_none_of_the_token() {
        for text in ["ann:t\r\nbob:u\r\n", "ann:t\nbob:u", "\u{feff}ann:t\nbob:u\n\n", "ann:t \t\nbob:u  \r\n"] {
            assert_eq!(user(text, "t").as_deref(), Some("ann"), "{text:?}");
            assert_eq!(user(text, "u").as_deref(), Some("bob"), "{text:?}");
        }
    }

    #[test]
    fn a_user_may_be_any_text_without_control_characters() {
        assert_eq!(user("Ann B. é 漢 🦀@x/y:t", "t").as_deref(), Some("Ann B. é 漢 🦀@x/y"));
        let long = "u".repeat(128);
        assert_eq!(user(&format!("{long}:t"), "t"), Some(long.clone()));
        let rule = "a user has 1 to 128 bytes, no control characters, and no blanks around it";
        for bad in ["", " ann", "ann ", "\tann", "an\tn", "a\rb", "a\u{1b}[31m", "a\u{85}", "a\0", &format!("{long}u")]
        {
            assert_eq!(error(&format!("x:y\n{bad}:t")), (2, rule), "{bad:?}");
        }
    }

    #[test]
    fn columns_are_rights() {
        let rights = |columns: &str| grant(&format!("ann:t{columns}"), "t").unwrap().rights;
        assert_eq!(rights(""), Rights::all());
        assert_eq!(rights("  "), Rights::all());
        let (some, none): (&[&str], &[&str]) = (&["a", "b-*"], &[]);
        assert_eq!(rights(" rooms=a,b-*"), Rights::parse(Some(some), None).unwrap());
        assert_eq!(rights("\tread=a,b-* \t rooms="), Rights::parse(Some(none), Some(some)).unwrap());
        assert_eq!(rights(" read="), Rights::parse(None, Some(none)).unwrap());
        assert!(rights(" rooms=é=漢").may_write("é=漢"));
    }

    #[test]
    fn a_line_that_breaks_a_rule_is_named() {
        let name = "the name of a room has 1 to 128 bytes and no control characters";
        let column = "behind the token may stand `rooms=` and `read=`, and nothing else";
        let token = "a token has 1 to 8192 characters of visible ASCII";
        for (line, rule) in [
            ("ann", "it has no `:` between a user and a token"),
            ("ann secret", "it has no `:` between a user and a token"),
            ("ann:", "there is no token right behind the first `:`"),
            ("ann: secret", "there is no token right behind the first `:`"),
            ("ann:\tsecret", "there is no token right behind the first `:`"),
            ("ann:secr\u{e9}t", token),
            ("ann:secret\u{1}", token),
            ("ann:secret\r\r", token),
            ("ann:secret\u{a0}rooms=a", token),
            (&format!("ann:{}", "x".repeat(8193)), token),
            ("ann:secret rooms", column),
            ("ann:secret Rooms=a", column),
            ("ann:secret secret2", column),
            ("ann:secret write=a", column),
            ("ann:secret # a comment", column),
            ("ann:secret rooms=a rooms=b", "a column stands twice"),
            ("ann:secret rooms=a,", name),
            ("ann:secret read=,a", name),
            ("ann:secret rooms=a,\u{7f}", name),
            (&format!("ann:secret rooms={}", "r,".repeat(1000) + "r"), "a list of rooms has at most 1000 names"),
            ("ann:other", "the same token stands in a line before"),
        ] {
            let text = format!("# tokens\r\nbob:other\n{line}\ncarl:third\n");
            assert_eq!(error(&text), (3, rule), "{line:?}");
        }
    }

    #[test]
    fn neither_errors_nor_the_table_show_a_token() {
        let error = TokenTable::parse("ann:hush\nbob:hush\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: the same token stands in a line before");
        assert!(!format!("{error:?}").contains("hush"));
        assert_eq!(format!("{:?}", TokenTable::parse("ann:hush\n").unwrap()), "TokenTable(1 tokens)");
        assert!(!format!("{:?}", grant("ann:hush", "hush")).contains("hush"));
    }

    #[test]
    fn a_token_is_compared_with_those_of_its_hash_alone() {
        let text: String = (0..LINES_MAX).map(|n| format!("u{n}:t{n:05}\n")).collect();
        let before = comparisons();
        let table = TokenTable::parse(&text).unwrap();
        for n in 0..LINES_MAX {
            assert_eq!(*table.verify(&format!("t{n:05}")).unwrap().user, *format!("u{n}"));
        }
        let good = comparisons() - before;
        for n in 0..LINES_MAX {
            // Wrong at the end, at the front, and in length.
            for wrong in [format!("t{n:05}x"), format!("T{n:05}"), format!("t{}", n + LINES_MAX * 10)] {
                assert_eq!(table.verify(&wrong).unwrap_err(), AuthError::Invalid("nobody has it"));
            }
        }
        let wrong = comparisons() - before - good;
        // Two of 40,000 tokens have the same hash of 64 bits about once in 10^10 runs; three such pairs never.
        assert!((LINES_MAX..LINES_MAX + 3).contains(&good) && wrong < 3, "{good} {wrong}");
    }

    #[test]
    fn two_lines_of_one_hash_are_told_apart() {
        let mut table = TokenTable::parse("ann:t\nbob:u\n").unwrap();
        for (token, user) in [("t", Some("ann")), ("u", Some("bob")), ("v", None)] {
            let both = table.lines.drain().flat_map(|(_, lines)| lines).collect();
            table.lines.insert(table.key.hash_one(token), both);
            assert_eq!(table.verify(token).ok().map(|grant| grant.user.to_string()).as_deref(), user, "{token}");
            assert_eq!(format!("{table:?}"), "TokenTable(2 tokens)");
        }
    }

    #[test]
    fn a_file_has_bounds() {
        let lines: String = (1..=LINES_MAX).map(|n| format!("u{n}:t{n}\n")).collect();
        assert_eq!(user(&lines, "t10000").as_deref(), Some("u10000"));
        assert_eq!(error(&(lines + "#")), (10_001, "the file has at most 10000 lines"));
        assert_eq!(error(&"\n".repeat(20_000).replacen('\n', "x:y", 1)).0, 10_001);
        let mut text = "ann:t\n#".to_owned();
        text.extend(std::iter::repeat_n('x', FILE_BYTES_MAX - text.len()));
        assert_eq!(user(&text, "t").as_deref(), Some("ann"));
        text.push('x');
        assert_eq!(error(&text), (2, "the file has at most 1 MiB"));
    }
}
