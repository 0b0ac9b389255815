//! The command line of `frameloop bench`.

use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

use frameloop::protocol::Compression;
use lexopt::{Arg, Parser};

use super::chat_text::size_min;
use super::content::Content;
use super::target::Target;
use crate::cli::values::{is_number, parse_size, parse_time};

/// What `frameloop bench --help` prints; the README shows the same.
pub(crate) const HELP: &str = "\
A load test for WebSocket servers, on one thread.

Usage: frameloop bench URL [echo|chat|churn|idle] [flags]

  echo    each connection keeps messages going; each must come back (the default)
  chat    some members send, all others must hear each message once and in order
  churn   connect, open, one echo, close, end: full cycles
  idle    connections that do nothing but answer pings

  --connections N         connections, or members of the chat (64)
  --size SIZE             bytes of a message (64)
  --in-flight N           messages on their way at a time, per connection or sender
                          (16; 1000 with --rate)
  --seconds N             how long to measure, such as 10 or 2.5 (3)
  --warmup TIME           load before the measurement that does not count (500ms)
  --rate N                open loop: so many messages a second are sent in all, whatever
                          comes back; a latency counts from when its message was due
  --rooms N               chat: the members take turns in N rooms of the session mode of
                          frameloop serve, instead of one lobby of plain clients
  --senders N             members of the chat that send; with --rooms so many of each room (1)
  --text[=ascii|utf8|json]
                          text messages instead of binary ones (chat: always text), of one byte
                          a character, of 1 to 4, or JSON as services send it (ascii)
  --fragments N           echo: the frames that each message is sent as (1)
  --compress              echo: permessage-deflate, each message by itself; in builds with
                          --features deflate
  --source ADDRESS        where connections come from; repeatable, they take turns
                          (to 127.x.x.x: one address for each 20,000 connections)
  --connect-timeout TIME  time for a connection and its opening handshake (10s)
  --server-pid PID        the server's process on this machine: its CPU time per message,
                          and with idle its memory per connection
  --json                  the result as one line of JSON
  --help                  this text

URL is such as ws://localhost:9001/. TIME is a number with ms, s, m or h, such as 500ms. SIZE is
a number of bytes, or one with KiB, MiB or GiB. A message of the chat is one delivery. The exit
status is 0 if all came back as it had to, 2 if not (or if something was due and never sent), and 1
if nothing was measured: arguments that are wrong, or no connection at all.
";

/// The kinds of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Echo,
    Chat,
    Churn,
    Idle,
}

impl Kind {
    fn parse(word: &str) -> Option<Kind> {
        [Kind::Echo, Kind::Chat, Kind::Churn, Kind::Idle].into_iter().find(|kind| kind.word() == word)
    }

    /// Its name on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Echo => "echo",
            Kind::Chat => "chat",
            Kind::Churn => "churn",
            Kind::Idle => "idle",
        }
    }
}

/// What to do.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) target: Target,
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    /// Payload bytes of a message.
    pub(crate) size: usize,
    pub(crate) in_flight: usize,
    pub(crate) duration: Duration,
    pub(crate) warmup: Duration,
    /// Messages a second in all.
    pub(crate) rate: Option<f64>,
    /// Rooms of the session mode; `None` is the lobby of plain clients.
    pub(crate) rooms: Option<usize>,
    /// In each room.
    pub(crate) senders: usize,
    pub(crate) content: Content,
    /// Frames of a message.
    pub(crate) fragments: usize,
    /// RFC 7692: messages go compressed, and may come so.
    pub(crate) is_compressed: bool,
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) connect_timeout: Duration,
    pub(crate) server_pid: Option<u32>,
    pub(crate) is_json: bool,
}

/// What was given; `None` where the default holds.
#[derive(Debug, Default)]
struct Given {
    words: Vec<String>,
    connections: Option<usize>,
    size: Option<usize>,
    in_flight: Option<usize>,
    duration: Option<Duration>,
    warmup: Option<Duration>,
    rate: Option<f64>,
    rooms: Option<usize>,
    senders: Option<usize>,
    text: Option<Content>,
    fragments: Option<usize>,
    is_compressed: bool,
    sources: Vec<IpAddr>,
    connect_timeout: Option<Duration>,
    server_pid: Option<u32>,
    is_json: bool,
}

/// Parses the arguments after `bench`; `None` asks for the help.
///
/// # Errors
/// One line that names the argument and what would be right.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Option<Options>, String> {
    let mut parser = Parser::from_args(args);
    let mut given = Given::default();
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        let flag = match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long("text") => {
                given.text = Some(parse_text(parser.optional_value())?);
                continue;
            }
            Arg::Long("compress") if Compression::IS_THERE => {
                given.is_compressed = true;
                continue;
            }
            Arg::Long("compress") => {
                let build = "build it with `cargo build --release --features deflate`";
                return Err(format!("--compress: this build cannot compress; {build}"));
            }
            Arg::Long("json") => {
                given.is_json = true;
                continue;
            }
            Arg::Long(flag) => flag.to_owned(),
            Arg::Value(word) => {
                given.words.push(word.to_string_lossy().into_owned());
                continue;
            }
            Arg::Short(flag) => return Err(format!("unknown flag '-{flag}'; bench --help lists the flags")),
        };
        if !FLAGS_WITH_VALUE.contains(&flag.as_str()) {
            return Err(format!("unknown flag '--{flag}'; bench --help lists the flags"));
        }
        let value =
            parser.value().map_err(|_| format!("--{flag}: a value is missing; bench --help shows what it takes"))?;
        given.set(&flag, &value.to_string_lossy()).map_err(|problem| format!("--{flag}: {problem}"))?;
    }
    given.finish().map(Some)
}

impl Given {
    fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        match flag {
            "connections" => self.connections = Some(parse_count(value, CONNECTIONS_MAX)?),
            "size" => {
                self.size = Some(parse_size(value).or_else(|error| if value == "0" { Ok(0) } else { Err(error) })?)
            }
            "in-flight" => self.in_flight = Some(parse_count(value, IN_FLIGHT_MAX)?),
            "seconds" => self.duration = Some(parse_seconds(value)?),
            "warmup" => self.warmup = Some(parse_time(value)?),
            "rate" => self.rate = Some(parse_count(value, RATE_MAX)? as f64),
            "rooms" => self.rooms = Some(parse_count(value, CONNECTIONS_MAX / 2)?),
            "senders" => self.senders = Some(parse_count(value, CONNECTIONS_MAX)?),
            "fragments" => self.fragments = Some(parse_count(value, FRAGMENTS_MAX)?),
            "source" => self.sources.push(parse_address(value)?),
            "connect-timeout" => self.connect_timeout = Some(parse_time(value)?),
            "server-pid" => self.server_pid = Some(parse_count(value, i32::MAX as usize)? as u32),
            _ => unreachable!("the flag is in the list"),
        }
        Ok(())
    }

    fn finish(self) -> Result<Options, String> {
        if let Some(text) = self.words.iter().find(|word| Content::parse_text(word).is_some()) {
            // The value of a flag that may stand alone has to stand with it.
            return Err(format!("unexpected '{text}'; did you mean --text={text}?"));
        }
        let (url, kind) = match self.words.as_slice() {
            [] => return Err("the URL of the server is missing, such as ws://localhost:9001/".to_owned()),
            [url] => (url, Kind::Echo),
            [url, word] => match Kind::parse(word) {
                Some(kind) => (url, kind),
                None => return Err(format!("unknown load '{word}', expected echo, chat, churn or idle")),
            },
            [_, _, extra, ..] => return Err(format!("unexpected '{extra}'; bench --help shows what is known")),
        };
        let target = Target::parse(url)?;
        for (flag, is_given, kinds) in [
            ("size", self.size.is_some(), &[Kind::Echo, Kind::Chat, Kind::Churn][..]),
            ("in-flight", self.in_flight.is_some(), &[Kind::Echo, Kind::Chat]),
            ("warmup", self.warmup.is_some(), &[Kind::Echo, Kind::Chat, Kind::Churn]),
            ("rate", self.rate.is_some(), &[Kind::Echo, Kind::Chat, Kind::Churn]),
            ("rooms", self.rooms.is_some(), &[Kind::Chat]),
            ("senders", self.senders.is_some(), &[Kind::Chat]),
            ("text", self.text.is_some(), &[Kind::Echo, Kind::Chat, Kind::Churn]),
            ("text=json", self.text == Some(Content::Json), &[Kind::Echo, Kind::Churn]),
            ("fragments", self.fragments.is_some(), &[Kind::Echo]),
            ("compress", self.is_compressed, &[Kind::Echo]),
        ] {
            if is_given && !kinds.contains(&kind) {
                return Err(format!("--{flag}: the load {} has none", kind.word()));
            }
        }
        let options = Options {
            target,
            kind,
            connections: self.connections.unwrap_or(64),
            size: self.size.unwrap_or(64),
            in_flight: self.in_flight.unwrap_or(if self.rate.is_some() { 1000 } else { 16 }),
            duration: self.duration.unwrap_or(Duration::from_secs(3)),
            warmup: self.warmup.unwrap_or(Duration::from_millis(500)),
            rate: self.rate,
            rooms: self.rooms,
            senders: self.senders.unwrap_or(1),
            content: self.text.unwrap_or(if kind == Kind::Chat { Content::Ascii } else { Content::Binary }),
            fragments: self.fragments.unwrap_or(1),
            is_compressed: self.is_compressed,
            sources: self.sources,
            connect_timeout: self.connect_timeout.unwrap_or(Duration::from_secs(10)),
            server_pid: self.server_pid,
            is_json: self.is_json,
        };
        options.check()?;
        Ok(options)
    }
}

impl Options {
    /// What is right only together.
    fn check(&self) -> Result<(), String> {
        if self.size > SIZE_BYTES_MAX {
            return Err(format!("--size: {} is out of range, give at most {SIZE_BYTES_MAX}", self.size));
        }
        if self.fragments > self.size.max(1) {
            let Options { fragments, size, .. } = self;
            return Err(format!(
                "--fragments: {fragments} frames of {size} bytes would be empty, give at most {}",
                size.max(&1)
            ));
        }
        if self.kind != Kind::Chat {
            return Ok(());
        }
        if self.size < size_min(self.rooms) {
            return Err(format!("--size: a message of this chat has at least {} bytes", size_min(self.rooms)));
        }
        if self.connections < 2 {
            return Err("--connections: a chat has at least 2 members".to_owned());
        }
        let rooms = self.rooms.unwrap_or(1);
        let members = self.connections / rooms; // of the smallest room
        if members < 2 {
            return Err(format!("--rooms: {rooms} rooms of 2 members or more need {} --connections", rooms * 2));
        }
        if self.senders > members {
            return Err(format!("--senders: {} of {members} members cannot send", self.senders));
        }
        // For each receiver and sender of a room the next message is known, in 4 bytes: these are all rooms together.
        if self.senders.saturating_mul(self.connections) > PAIRS_MAX {
            return Err(format!("--senders: at most {} of {} members", PAIRS_MAX / self.connections, self.connections));
        }
        Ok(())
    }
}

fn parse_count(value: &str, max: usize) -> Result<usize, String> {
    match value.parse::<usize>() {
        Ok(count) if (1..=max).contains(&count) && is_number(value) => Ok(count),
        _ => Err(format!("'{value}' is no number from 1 to {max}")),
    }
}

/// Seconds with or without a fraction; no sign, no exponent.
fn parse_seconds(value: &str) -> Result<Duration, String> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let is_decimal = is_number(whole) && is_number(fraction) && !fraction.is_empty();
    let duration = whole.parse::<u64>().ok().filter(|_| is_decimal).and_then(|whole| {
        let nanos = format!("{fraction:0<9}")[..9].parse::<u32>().ok()?;
        Some(Duration::new(whole, nanos))
    });
    match duration {
        Some(duration) if (SECONDS_MIN..=SECONDS_MAX).contains(&duration) => Ok(duration),
        _ => Err(format!("'{value}' is no number of seconds from 0.001 to 86400, such as 10 or 2.5")),
    }
}

/// A bare `--text` is of one byte a character.
fn parse_text(value: Option<OsString>) -> Result<Content, String> {
    let Some(value) = value else { return Ok(Content::Ascii) };
    let word = value.to_string_lossy();
    Content::parse_text(&word)
        .ok_or_else(|| format!("--text: '{word}' is no kind of text, expected ascii, utf8 or json"))
}

fn parse_address(value: &str) -> Result<IpAddr, String> {
    value.parse().map_err(|_| format!("'{value}' is no IP address such as 127.0.0.2"))
}

const FLAGS_WITH_VALUE: [&str; 12] = [
    "connections",
    "size",
    "in-flight",
    "seconds",
    "warmup",
    "rate",
    "rooms",
    "senders",
    "fragments",
    "source",
    "connect-timeout",
    "server-pid",
];

/// As many as 250 source addresses have.
const CONNECTIONS_MAX: usize = 5_000_000;
const IN_FLIGHT_MAX: usize = 100_000;
const RATE_MAX: usize = 1_000_000_000;
const SECONDS_MIN: Duration = Duration::from_millis(1);
const SECONDS_MAX: Duration = Duration::from_secs(86_400);
const SIZE_BYTES_MAX: usize = 64 * 1024 * 1024;
const PAIRS_MAX: usize = 1 << 26;
/// As many as `frameloop` takes (`Limits::message_frames_max`).
const FRAGMENTS_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> Options {
        parse(args.iter().map(OsString::from)).unwrap().expect("it is no call for help")
    }

    #[test]
    fn without_flags_the_documented_defaults_hold() {
        let echo = options(&["ws://localhost:1/"]);
        assert_eq!((echo.kind, echo.connections, echo.size, echo.in_flight), (Kind::Echo, 64, 64, 16));
        assert_eq!((echo.duration, echo.warmup), (Duration::from_secs(3), Duration::from_millis(500)));
        assert_eq!((echo.content, echo.fragments), (Content::Binary, 1));
        assert!(!echo.is_json && echo.rate.is_none() && echo.server_pid.is_none());
        let chat = options(&["ws://localhost:1/", "chat", "--rate", "10"]);
        assert!(chat.content == Content::Ascii && chat.senders == 1 && chat.in_flight == 1000 && chat.rooms.is_none());
    }

    #[test]
    fn each_flag_sets_what_it_names() {
        let line = "--connections 2000 ws://localhost:1/ --size=1KiB chat --in-flight 3 --seconds 2.5 --warmup 1s --rate 7 \
            --senders 5 --source 127.0.0.2 --source 127.0.0.3 --connect-timeout 1m --server-pid 42 --json --text --rooms 400";
        let given = options(&line.split_whitespace().collect::<Vec<_>>());
        assert_eq!((given.kind, given.connections, given.size, given.in_flight), (Kind::Chat, 2000, 1024, 3));
        assert_eq!((given.duration, given.warmup), (Duration::from_millis(2500), Duration::from_secs(1)));
        assert_eq!((given.rate, given.senders, given.server_pid), (Some(7.0), 5, Some(42)));
        assert_eq!(given.rooms, Some(400));
        assert_eq!(given.sources, ["127.0.0.2", "127.0.0.3"].map(|source| source.parse::<IpAddr>().unwrap()));
        assert!(given.connect_timeout == Duration::from_secs(60) && given.is_json);
        assert_eq!(given.content, Content::Ascii);
        assert_eq!(options(&["ws://a", "--size", "0"]).size, 0);
        assert_eq!(options(&["ws://a", "--fragments", "7", "--size", "7"]).fragments, 7);
        assert_eq!(options(&["ws://a", "--fragments", "1", "--size", "0"]).fragments, 1);
        for (flags, content) in [
            (&["echo", "--text"][..], Content::Ascii),
            (&["--text", "echo"], Content::Ascii),
            (&["--text=ascii"], Content::Ascii),
            (&["--text=utf8"], Content::Utf8),
            (&["--text=json"], Content::Json),
            (&["chat", "--text=utf8"], Content::Utf8),
        ] {
            assert_eq!(options(&[&["ws://a"], flags].concat()).content, content, "{flags:?}");
        }
        for (value, nanos) in [("10", 10_000_000_000), ("0.05", 50_000_000), ("1.0000000019", 1_000_000_001)] {
            assert_eq!(options(&["ws://a", "--seconds", value]).duration, Duration::from_nanos(nanos), "{value}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (line, names) in [
            ("", &["URL", "ws://"][..]),
            ("localhost:1", &["'localhost:1'", "ws://"]),
            ("wss://a/", &["'wss://a/'", "TLS"]),
            ("ws://a/ flood", &["'flood'", "echo, chat, churn or idle"]),
            ("ws://a/ echo chat", &["'chat'", "--help"]),
            ("ws://a/ -n", &["-n", "--help"]),
            ("ws://a/ --groups 3", &["--groups", "--help"]),
            ("ws://a/ --connections", &["--connections", "missing"]),
            ("ws://a/ --connections 0", &["--connections", "'0'", "1 to"]),
            ("ws://a/ --connections +1", &["--connections", "'+1'"]),
            ("ws://a/ --size 1KB", &["--size", "'1KB'", "KiB"]),
            ("ws://a/ --size 1GiB", &["--size", "out of range"]),
            ("ws://a/ --in-flight many", &["--in-flight", "'many'"]),
            ("ws://a/ --seconds 3s", &["--seconds", "'3s'", "2.5"]),
            ("ws://a/ --seconds 1e3", &["--seconds", "'1e3'"]),
            ("ws://a/ --seconds 0", &["--seconds", "'0'"]),
            ("ws://a/ --seconds inf", &["--seconds", "'inf'"]),
            ("ws://a/ --seconds 1.", &["--seconds", "'1.'"]),
            ("ws://a/ --seconds 1.5.5", &["--seconds", "'1.5.5'"]),
            ("ws://a/ --seconds 0.0009", &["--seconds", "'0.0009'"]),
            ("ws://a/ --seconds 86400.1", &["--seconds", "86400"]),
            ("ws://a/ --warmup 1", &["--warmup", "'1'", "30s"]),
            ("ws://a/ --rate 0", &["--rate", "'0'"]),
            ("ws://a/ --text=latin1", &["--text", "'latin1'", "ascii, utf8 or json"]),
            ("ws://a/ --text=", &["--text", "''", "ascii, utf8 or json"]),
            ("ws://a/ --text utf8", &["'utf8'", "--text=utf8"]),
            ("ws://a/ chat --text ascii", &["'ascii'", "--text=ascii"]),
            ("ws://a/ idle --text=utf8", &["--text", "idle"]),
            ("ws://a/ chat --text=json", &["--text=json", "chat"]),
            ("ws://a/ churn --compress", &["--compress", if Compression::IS_THERE { "churn" } else { "deflate" }]),
            ("ws://a/ --fragments 0", &["--fragments", "'0'", "1 to"]),
            ("ws://a/ --fragments 1048577 --size 2MiB", &["--fragments", "'1048577'", "1048576"]),
            ("ws://a/ --fragments 65", &["--fragments", "65 frames of 64 bytes", "at most 64"]),
            ("ws://a/ --fragments 2 --size 0", &["--fragments", "at most 1"]),
            ("ws://a/ chat --fragments 2", &["--fragments", "chat"]),
            ("ws://a/ churn --fragments 2", &["--fragments", "churn"]),
            ("ws://a/ idle --fragments 1", &["--fragments", "idle"]),
            ("ws://a/ --source localhost", &["--source", "'localhost'", "127.0.0.2"]),
            ("ws://a/ --server-pid me", &["--server-pid", "'me'"]),
            ("ws://a/ --senders 2", &["--senders", "echo"]),
            ("ws://a/ idle --rate 2", &["--rate", "idle"]),
            ("ws://a/ churn --in-flight 2", &["--in-flight", "churn"]),
            ("ws://a/ chat --size 20", &["--size", "at least"]),
            ("ws://a/ chat --connections 1", &["--connections", "2 members"]),
            ("ws://a/ --rooms 3", &["--rooms", "echo"]),
            ("ws://a/ idle --rooms 3", &["--rooms", "idle"]),
            ("ws://a/ chat --rooms 0", &["--rooms", "'0'", "1 to"]),
            ("ws://a/ chat --rooms 33", &["--rooms", "33 rooms", "66 --connections"]),
            ("ws://a/ chat --connections 11 --rooms 3 --senders 4", &["--senders", "4 of 3"]),
            ("ws://a/ chat --connections 100 --rooms 11 --size 59", &["--size", "at least 60"]),
            ("ws://a/ chat --connections 100000 --rooms 10 --senders 1000", &["--senders", "at most 671"]),
            ("ws://a/ chat --connections 3 --senders 4", &["--senders", "4 of 3"]),
            ("ws://a/ chat --connections 100000 --senders 1000", &["--senders", "at most 671"]),
        ] {
            let error = parse(line.split_whitespace().map(OsString::from)).expect_err(line);
            assert!(names.iter().all(|name| error.contains(name)) && !error.contains('\n'), "{line}: {error}");
        }
    }

    #[test]
    fn the_help_names_each_flag() {
        assert!(parse([OsString::from("--help")]).unwrap().is_none());
        let flags = FLAGS_WITH_VALUE.iter().chain(&["text", "compress", "json", "help"]);
        let is_named = |flag| [" ", "["].iter().any(|end| HELP.contains(&format!("  --{flag}{end}")));
        assert!(flags.clone().all(is_named));
        assert_eq!(HELP.matches("\n  --").count(), flags.count());
    }
}
