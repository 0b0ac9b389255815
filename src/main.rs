//! The binary: flags to a configuration, the logger, and a server that runs until it is stopped. Or the load test.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod application;
mod bench;
mod cli;
mod credentials;
mod folder;
mod logger;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use frameloop::chat::web::Site;
use frameloop::chat::{Echo, Hub};
use frameloop::server::Server;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::application::{Application, Serve};
use crate::cli::network::{ANY_CLIENT, ANY_CLIENT_OF_ECHO, ANY_PAGE, openness};
use crate::cli::{Command, Method, Mode, Options, Pages};
use crate::folder::Folder;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => print(cli::HELP),
        Ok(Command::Version) => print(concat!("frameloop ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Command::Run(options)) => start(*options),
        Ok(Command::Bench(args)) => bench::main(args),
        Err(problem) => {
            complain(&problem);
            ExitCode::from(2)
        }
    }
}

fn start(mut options: Options) -> ExitCode {
    let open_files = rlimit::increase_nofile_limit(u64::MAX).map_or(usize::MAX, |limit| limit as usize);
    if !options.has_max_connections {
        let reserved = RESERVED_DESCRIPTORS.min(open_files / 2);
        options.config.connections_max = (open_files - reserved).max(1);
    }
    let logger = match logger::start(options.log_level) {
        Ok(logger) => logger,
        Err(error) => return fail(&format!("cannot start the log: {error}")),
    };
    let result = match options.mode {
        Mode::Serve => {
            options.config.subprotocols = [Hub::SUBPROTOCOL, Hub::PLAIN_SUBPROTOCOL].map(str::to_owned).into();
            options.config.unsent_bytes_max = Some(Hub::UNSENT_BYTES_MAX);
            // As of those whose opening handshake is not complete.
            options.hub.unknown_max = (options.config.connections_max / 4).max(16);
            serve(&options, open_files)
        }
        Mode::Echo => run(&options, open_files, Application::Echo(Echo)),
    };
    logger.finish();
    result.map_or_else(|problem| fail(&problem), |()| ExitCode::SUCCESS)
}

fn serve(options: &Options, open_files: usize) -> Result<(), String> {
    let (site, folder) = match &options.pages {
        Pages::Demo => (Site::demo(), None),
        Pages::None => (Site::client_only(), None),
        Pages::Folder(path) => {
            let folder = Folder::open(path).map_err(|error| format!("--static: '{}': {error}", path.display()))?;
            (Site::client_only(), Some(folder))
        }
    };
    let (method, sources) = &options.auth;
    let authenticator = credentials::load(method)?;
    let hub = Hub::with_authentication(options.hub.clone(), authenticator, sources.clone());
    run(options, open_files, Application::Serve(Box::new(Serve { hub, method: method.clone(), site, folder })))
}

fn run(options: &Options, open_files: usize, app: Application) -> Result<(), String> {
    let server = Server::bind(&options.config, app).map_err(|error| error.to_string())?;
    for signal in [SIGTERM, SIGINT] {
        notify(signal, server.stopper())?;
    }
    // Without files that could be read again SIGHUP is an end, as for other programs, but one that clients are told.
    let has_files = options.config.tls.is_some() || options.auth.0 != Method::None;
    if has_files { notify(SIGHUP, server.reloader()) } else { notify(SIGHUP, server.stopper()) }?;
    if options.config.connections_max > open_files.saturating_sub(RESERVED_DESCRIPTORS) {
        log::warn!(
            "up to {} connections are allowed, but the limit of open files is {}: beyond it new ones get 503",
            options.config.connections_max,
            open_files
        );
    }
    let any_client = if options.mode == Mode::Echo { ANY_CLIENT_OF_ECHO } else { ANY_CLIENT };
    let is_open = [(options.auth.0 == Method::None, any_client), (options.config.origins.is_any(), ANY_PAGE)];
    let open: Vec<&str> = is_open.into_iter().filter(|(is_open, _)| *is_open).map(|(_, what)| what).collect();
    if let Some(line) = openness(server.addresses(), &open) {
        log::warn!("{line}");
    }
    let is_clear = |(address, url): &(&SocketAddr, String)| !address.ip().is_loopback() && url.starts_with("ws://");
    let has_tokens = options.auth.0 != Method::None && options.config.trusted_proxies.is_empty();
    if let Some((_, url)) = server.addresses().iter().zip(server.urls()).find(is_clear).filter(|_| has_tokens) {
        log::warn!("tokens come in the clear on {url}, for whoever is on the way: use --tls-cert, or a proxy with TLS");
    }
    for url in server.urls() {
        print(&format!("listening on {url}\n"));
    }
    server.run().map_err(|error| error.to_string())
}

/// Lets a signal ring a bell of the server's.
fn notify(signal: i32, bell: io::Result<impl Into<OwnedFd>>) -> Result<(), String> {
    let registered = bell.and_then(|bell| signal_hook::low_level::pipe::register(signal, bell.into()));
    registered.map(drop).map_err(|error| format!("cannot listen to signals: {error}"))
}

/// A closed standard output is no reason to stop.
fn print(text: &str) -> ExitCode {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    ExitCode::SUCCESS
}

fn fail(problem: &str) -> ExitCode {
    complain(problem);
    ExitCode::FAILURE
}

fn complain(problem: &str) {
    // One line, whatever the arguments hold.
    let line: String = problem.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(io::stderr(), "frameloop: {line}");
}

/// Open files that are no connections: standard streams, listeners, the poll, and peers that are being refused.
const RESERVED_DESCRIPTORS: usize = 64;
