//! The command line: flags to a [`Command`], or one line that says what is wrong.

mod auth;
mod limits;
pub(crate) mod network;
mod sessions;
mod tls;
pub(crate) mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use frameloop::chat::auth::Sources;
use frameloop::chat::hub::options::Options as HubOptions;
use frameloop::server::Config;
use lexopt::{Arg, Parser};
use log::LevelFilter;

pub(crate) use self::auth::Method;
use self::values::{parse_level, parse_listen};

/// What `--help` prints; the README shows the same.
pub(crate) const HELP: &str = "\
A WebSocket server on one thread and one event loop.

Usage: frameloop [serve|echo] [flags]
       frameloop bench URL [echo|chat|churn|idle] [flags]

  serve   JSON chat: what one says, all others hear (the default)
  echo    sends each message back, for conformance and load
  bench   puts load on a server; it has flags of its own: frameloop bench --help

  --listen HOST:PORT        where to listen; repeatable, port 0 picks a free one
                            (serve: localhost:8765, echo: localhost:9001); with ws://
                            before it plain, with wss:// TLS, else as --tls-cert says
  --reuse-port              share the port with other processes that say so too: each has
                            its own connections, and serve its own chat
  --ping-interval TIME      time between two pings (30s)
  --ping-misses N           unanswered pings before a peer is closed (3)
  --handshake-timeout TIME  time for the opening handshake (10s)
  --close-timeout TIME      time for the closing handshake (5s)
  --slow-timeout TIME       time without progress until a slow reader is closed (30s)
  --max-message SIZE        bytes of one message (serve: 1MiB, echo: 64MiB)
  --max-queue SIZE          bytes that may wait for one peer
                            (4MiB, or twice --max-message or --state-bytes if more)
  --max-connections N       connections at a time (what the limit of open files leaves)
  --compress HOW            permessage-deflate: off, shared (each message by itself, next to no
                            memory) or takeover (with those before it, better, 100 times the
                            memory); in builds with --features deflate (off)
  --compress-contexts N     connections with a memory of messages before; further ones are as
                            with shared (512)
  --static DIR              serve: the files of a folder over HTTP, in place of the demo page
  --no-demo                 serve: no demo page
  --tls-cert FILE           TLS: the certificate and its chain, in PEM; read again when it
                            changes, and on SIGHUP
  --tls-key FILE            TLS: the private key of the certificate, in PEM
  --log-level LEVEL         off, error, warn, info or debug (info)
  --help                    this text
  --version                 the version

Who may connect:

  --origin PATTERN          a page of another site that may: https://app.example.com[:PORT],
                            https://*.example.com, null, or * for all; repeatable (same host only)
  --max-per-ip N            connections of one address, or one /64 of IPv6 (no limit)
  --accept-rate N           new connections a second of one address, twice as many at once (off)
  --trusted-proxy CIDR      a proxy whose X-Forwarded-For and -Host are believed; repeatable
  --proxy-protocol          trusted proxies begin with a PROXY header; nobody else may connect

Sessions and rooms, with serve only:

  --resume-window TIME      how long a session waits for its client (60s)
  --presence-grace TIME     how long a lost client still counts as present (10s)
  --hello-timeout TIME      time for hello (10s)
  --rooms-per-session N     rooms of one session (100)
  --max-rooms N             rooms in all (100000)
  --state-bytes SIZE        bytes of a room's state (1MiB)
  --history N               chats in a room's log (1000)
  --history-bytes SIZE      bytes of a room's log (4MiB)
  --memory-limit SIZE       bytes of all logs and states (1GiB)
  --batch-interval TIME     gather what a session gets to one array (off)
  --rate N                  messages a second of one client, twice as many at once (off)

Who may come in, with serve only:

  --auth none|token|jwt     how clients show who they are (none)
  --token-file FILE         the tokens: a line for each, user:token rooms=a,b* read=c
  --jwt-secret-file FILE    the secret that tokens are signed with (HS256)
  --jwt-aud NAME            the audience that tokens must be for (any)
  --auth-cookie NAME        the cookie of a browser that may hold the token
  --auth-query              the token may stand in the URL, as ?token=; servers on the way
                            log it
  --max-per-user N          connections of one user (off)

TIME is a number with ms, s, m or h, such as 500ms. SIZE is a number of bytes, or one
with KiB, MiB or GiB, such as 64KiB. The log goes to standard error. SIGTERM and
SIGINT close all connections with 1001, sessions with 1012; a second one ends at once.
SIGHUP reads certificates, tokens and secrets again, or is as SIGTERM if there are none.
TLS and jwt are in builds with --features tls,jwt.
";

/// What the program is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
    /// Run a server.
    Run(Box<Options>),
    /// Run the load test with these arguments.
    Bench(Vec<OsString>),
}

/// How to run the server.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// Its `connections_max` is `usize::MAX` unless `has_max_connections`.
    pub(crate) config: Config,
    pub(crate) has_max_connections: bool,
    /// For [`Mode::Serve`].
    pub(crate) hub: HubOptions,
    /// For [`Mode::Serve`].
    pub(crate) auth: (Method, Sources),
    /// For [`Mode::Serve`].
    pub(crate) pages: Pages,
    pub(crate) log_level: LevelFilter,
}

/// What is shown over HTTP, beside the browser client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pages {
    Demo,
    None,
    Folder(PathBuf),
}

/// Which application runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Serve,
    Echo,
}

/// Parses the arguments after the program's name.
///
/// # Errors
/// One line that names the argument and what would be right.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut args = args.into_iter().peekable();
    if args.next_if(|first| first == "bench").is_some() {
        return Ok(Command::Bench(args.collect()));
    }
    let mut parser = Parser::from_args(args);
    let (mut mode, mut listen, mut limits) = (None, Vec::new(), limits::Flags::default());
    let (mut log_level, mut config) = (LevelFilter::Info, Config::default());
    let (mut hub, mut auth, mut serve_flag, mut pages) = (HubOptions::default(), auth::Flags::default(), None, None);
    let mut tls_files = tls::Files::default();
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        let flag = match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("version") | Arg::Short('V') => return Ok(Command::Version),
            Arg::Long(flag) => flag.to_owned(),
            Arg::Value(command) if mode.is_none() => {
                mode = Some(parse_mode(&command.to_string_lossy())?);
                continue;
            }
            Arg::Value(extra) => {
                return Err(format!("unexpected '{}'; --help shows what is known", extra.to_string_lossy()));
            }
            Arg::Short(flag) => return Err(format!("unknown flag '-{flag}'; --help lists the flags")),
        };
        if tls::FLAGS.contains(&flag.as_str()) {
            let file =
                parser.value().map_err(|_| format!("--{flag}: a file is missing; --help shows what it takes"))?;
            tls_files.set(&flag, file).map_err(|problem| format!("--{flag}: {problem}"))?;
            continue;
        }
        let mut value = || match parser.value().map(OsString::into_string) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(value)) => {
                Err(format!("--{flag}: '{}' is no text; --help shows what it takes", value.to_string_lossy()))
            }
            Err(_) => Err(format!("--{flag}: a value is missing; --help shows what it takes")),
        };
        let at = |problem: String| format!("--{flag}: {problem}");
        match flag.as_str() {
            "listen" => listen.push(value().and_then(|value| parse_listen(&value).map_err(at))?),
            "reuse-port" => config.reuse_port = true,
            "proxy-protocol" => config.proxy_protocol = true,
            "log-level" => log_level = value().and_then(|value| parse_level(&value).map_err(at))?,
            "no-demo" | "static" => {
                let wanted = match flag.as_str() {
                    "static" => Pages::Folder(value()?.into()),
                    _ => Pages::None,
                };
                if pages.replace(wanted).is_some() {
                    return Err(at("one of --static and --no-demo, once, says which pages there are".to_owned()));
                }
                serve_flag = Some(flag);
            }
            name if limits::FLAGS.contains(&name) => {
                let set = value().map(|value| limits.set(&flag, &value))?;
                set.unwrap_or(Ok(())).map_err(at)?;
            }
            name if network::FLAGS.contains(&name) => {
                let set = value().map(|value| network::set(&mut config, &flag, &value))?;
                set.unwrap_or(Ok(())).map_err(at)?;
            }
            name if sessions::FLAGS.contains(&name) => {
                let set = value().map(|value| sessions::set(&mut hub, &flag, &value))?;
                set.unwrap_or(Ok(())).map_err(at)?;
                serve_flag = Some(flag);
            }
            name if auth::FLAGS.contains(&name) || auth::SWITCHES.contains(&name) => {
                let value = if auth::FLAGS.contains(&name) { value()? } else { String::new() };
                auth.set(&flag, &value).unwrap_or(Ok(())).map_err(at)?;
                serve_flag = Some(flag);
            }
            _ => return Err(format!("unknown flag '--{flag}'; --help lists the flags")),
        }
    }

    let mode = mode.unwrap_or(Mode::Serve);
    if listen.is_empty() {
        listen.push(match mode {
            Mode::Serve => "localhost:8765".to_owned(),
            Mode::Echo => "localhost:9001".to_owned(),
        });
    }
    if let Some(flag) = serve_flag.filter(|_| mode == Mode::Echo) {
        return Err(format!("--{flag}: echo has no sessions, users or pages; it goes with serve"));
    }
    let (max_connections, compression) = (limits.max_connections, limits.compression()?);
    let limits = limits.finish((mode == Mode::Serve).then_some(&hub))?;
    hub.message_bytes = limits.message_bytes_max;
    hub.answer_bytes = hub.answer_bytes.min(limits.queue_bytes_max / 4);
    (hub.ping_interval, hub.ping_misses) = (limits.ping_interval, limits.ping_misses_max);
    let tls = tls_files.finish(&listen)?;
    let config =
        Config { tls, listen, limits, compression, connections_max: max_connections.unwrap_or(usize::MAX), ..config };
    network::check(&config)?;
    let (has_max_connections, pages) = (max_connections.is_some(), pages.unwrap_or(Pages::Demo));
    let auth = auth.finish()?;
    auth::check(&auth, &hub, &config)?;
    Ok(Command::Run(Box::new(Options { mode, config, has_max_connections, hub, auth, pages, log_level })))
}

fn parse_mode(value: &str) -> Result<Mode, String> {
    match value {
        "serve" => Ok(Mode::Serve),
        "echo" => Ok(Mode::Echo),
        "bench" => Err("'bench' must come before all flags; see frameloop bench --help".to_owned()),
        _ => Err(format!("unknown command '{value}', expected serve or echo, or bench; --help shows them")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use frameloop::protocol::Limits;

    use super::*;

    fn run(args: &[&str]) -> Options {
        match parse(args.iter().map(OsString::from)) {
            Ok(Command::Run(options)) => *options,
            other => panic!("{args:?}: {other:?}"),
        }
    }

    fn error(args: &[&str]) -> String {
        parse(args.iter().map(OsString::from)).expect_err("it is wrong")
    }

    #[test]
    fn without_flags_it_serves_with_the_documented_defaults() {
        let options = run(&[]);
        assert_eq!(options.mode, Mode::Serve);
        assert_eq!(options.config.listen, ["localhost:8765"]);
        assert_eq!(options.config.limits, Limits::default());
        assert_eq!(options.log_level, LevelFilter::Info);
        assert!(!options.has_max_connections);
        let echo = run(&["echo"]);
        assert_eq!(echo.config.listen, ["localhost:9001"]);
        assert_eq!(echo.config.limits.message_bytes_max, 64 << 20);
        assert_eq!(echo.config.limits.queue_bytes_max, 128 << 20);
    }

    #[test]
    fn each_flag_sets_what_it_names() {
        let options = run(&[
            "--listen",
            "127.0.0.1:0",
            "--listen=[::1]:0",
            "--ping-interval",
            "500ms",
            "--ping-misses",
            "5",
            "--handshake-timeout",
            "2h",
            "--close-timeout",
            "1s",
            "--slow-timeout",
            "7s",
            "--max-message",
            "64KiB",
            "--max-queue",
            "1MiB",
            "--max-connections",
            "10",
            "--reuse-port",
            "--trusted-proxy",
            "::1",
            "--proxy-protocol",
            "--log-level",
            "debug",
            "echo",
        ]);
        assert_eq!(options.mode, Mode::Echo);
        assert_eq!(options.config.listen, ["127.0.0.1:0", "[::1]:0"]);
        assert_eq!(options.config.connections_max, 10);
        assert!(options.config.reuse_port && options.config.proxy_protocol);
        assert_eq!(options.config.trusted_proxies.len(), 1);
        assert_eq!(options.log_level, LevelFilter::Debug);
        let expected = Limits {
            ping_interval: Duration::from_millis(500),
            ping_misses_max: 5,
            handshake_timeout: Duration::from_secs(7200),
            close_timeout: Duration::from_secs(1),
            slow_timeout: Duration::from_secs(7),
            message_bytes_max: 64 * 1024,
            queue_bytes_max: 1024 * 1024,
            ..Limits::default()
        };
        assert_eq!(options.config.limits, expected);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (args, names) in [
            (&["--nope"][..], &["'--nope'", "--help"][..]),
            (&["-x"], &["-x", "--help"]),
            (&["chat"], &["'chat'", "serve or echo"]),
            (&["serve", "echo"], &["echo"]),
            (&["--log-level", "info", "bench"], &["'bench'", "before"]),
            (&["--listen"], &["--listen", "--help"]),
            (&["--listen", "8765"], &["--listen", "'8765'", "HOST:PORT"]),
            (&["--listen", ":80"], &["--listen", "':80'", "HOST:PORT"]),
            (&["--listen", "a:99999"], &["--listen", "HOST:PORT", "65535"]),
            (&["--listen", "a:+80"], &["--listen", "HOST:PORT"]),
            (&["--listen", "http://a:80"], &["--listen", "HOST:PORT"]),
            (&["--ping-interval", "30"], &["--ping-interval", "'30'", "30s"]),
            (&["--ping-interval", "0s"], &["--ping-interval", "'0s'", "1ms"]),
            (&["--ping-interval", "-1s"], &["--ping-interval", "'-1s'"]),
            (&["--close-timeout", "1d"], &["--close-timeout", "'1d'"]),
            (&["--resume-window", "25h"], &["--resume-window", "24h"]),
            (&["--ping-misses", "0"], &["--ping-misses", "'0'", "1 to 255"]),
            (&["--ping-misses", "+3"], &["--ping-misses", "'+3'"]),
            (&["--max-message", "1MB"], &["--max-message", "'1MB'", "MiB"]),
            (&["--max-message", "99999999999999999999GiB"], &["--max-message", "out of range"]),
            (&["--max-queue", "1KiB"], &["--max-queue", "--max-message", "--state-bytes", "1116160"]),
            (&["echo", "--max-queue", "1KiB"], &["--max-queue", "--max-message", "67108874"]),
            (&["--max-message=64KiB", "--max-queue=65546"], &["--max-queue", "--state-bytes (1048576 bytes)"]),
            (&["--max-connections", "many"], &["--max-connections", "'many'"]),
            (&["--static"], &["--static", "value"]),
            (&["--static", "a", "--no-demo"], &["--no-demo", "--static", "one"]),
            (&["--auth", "token"], &["--auth token", "--token-file"]),
            (&["--auth", "basic"], &["--auth", "'basic'"]),
            (&["--auth", "none", "echo"], &["--auth", "echo", "serve"]),
            (&["--rate", "0"], &["--rate", "'0'"]),
            (&["--max-per-user", "2"], &["--max-per-user", "--auth token or jwt"]),
            (
                &["--auth=token", "--token-file=t", "--auth-cookie=sid", "--origin=*"],
                &["--auth-cookie", "--origin '*'"],
            ),
            (&["--no-demo", "echo"], &["--no-demo", "echo", "serve"]),
            (&["--origin", "example.com"], &["--origin", "'example.com'", "https://"]),
            (&["--trusted-proxy", "10.0.0.1/8"], &["--trusted-proxy", "10.0.0.0/8"]),
            (&["--proxy-protocol"], &["--proxy-protocol", "--trusted-proxy"]),
            (&["--log-level", "loud"], &["--log-level", "'loud'", "info"]),
        ] {
            let error = error(args);
            assert!(names.iter().all(|name| error.contains(name)) && !error.contains('\n'), "{args:?}: {error}");
        }
    }

    #[test]
    fn what_stands_behind_bench_is_for_the_load_test() {
        let Ok(Command::Bench(args)) = parse(["bench", "--listen", "x"].map(OsString::from)) else {
            panic!("no bench")
        };
        assert_eq!(args, ["--listen", "x"]);
    }

    #[test]
    fn the_help_names_each_flag() {
        let flags = ["listen", "reuse-port", "static", "no-demo", "log-level", "proxy-protocol", "help", "version"];
        assert!(flags.iter().all(|flag| HELP.contains(&format!("  --{flag} "))));
        let others =
            [&limits::FLAGS[..], &sessions::FLAGS, &network::FLAGS, &tls::FLAGS, &auth::FLAGS, &auth::SWITCHES]
                .concat();
        assert!(others.iter().all(|flag| HELP.contains(&format!("  --{flag} "))));
        assert_eq!(HELP.matches("\n  --").count(), flags.len() + others.len());
    }
}
