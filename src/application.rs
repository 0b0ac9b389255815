//! Either application, so that the server is compiled for one type and not for each: that saves 25 KB of the binary.

use std::time::Instant;

use frameloop::chat::web::Site;
use frameloop::chat::{Echo, Hub};
use frameloop::protocol::{Document, DocumentRequest, End, HandshakeError, Message, Request};
use frameloop::server::{App, ConnId, Outbox};

use crate::cli::Method;
use crate::credentials;
use crate::folder::Folder;

/// What runs on the server.
#[derive(Debug)]
pub(crate) enum Application {
    Serve(Box<Serve>),
    Echo(Echo),
}

/// `frameloop serve`: the chat, and the pages beside it.
#[derive(Debug)]
pub(crate) struct Serve {
    pub(crate) hub: Hub,
    /// How its clients show who they are.
    pub(crate) method: Method,
    pub(crate) site: Site,
    /// What is looked for in here first.
    pub(crate) folder: Option<Folder>,
}

impl App for Application {
    fn on_request(&mut self, request: &Request, out: &impl Outbox) -> Result<(), HandshakeError> {
        match self {
            Application::Serve(serve) => serve.hub.on_request(request, out),
            Application::Echo(echo) => echo.on_request(request, out),
        }
    }

    fn on_open(&mut self, id: ConnId, request: &Request, out: &mut impl Outbox) {
        match self {
            Application::Serve(serve) => serve.hub.on_open(id, request, out),
            Application::Echo(echo) => echo.on_open(id, request, out),
        }
    }

    #[inline]
    fn on_message(&mut self, id: ConnId, message: Message<'_>, out: &mut impl Outbox) {
        match self {
            Application::Serve(serve) => serve.hub.on_message(id, message, out),
            Application::Echo(echo) => echo.on_message(id, message, out),
        }
    }

    fn on_close(&mut self, id: ConnId, end: &End, out: &mut impl Outbox) {
        match self {
            Application::Serve(serve) => serve.hub.on_close(id, end, out),
            Application::Echo(echo) => echo.on_close(id, end, out),
        }
    }

    // An echo waits for nothing, and has nothing to show.

    fn on_document_request(&mut self, request: &DocumentRequest) -> Result<Document, HandshakeError> {
        let Application::Serve(serve) = self else { return Err(HandshakeError::NotAnUpgrade) };
        match serve.folder.as_mut().map(|folder| folder.document(request.path())) {
            // A folder without a first page is still a folder.
            Some(Err(HandshakeError::NotFound)) => serve.site.document(request).map_err(|_| HandshakeError::NotFound),
            Some(result) => result,
            None => serve.site.document(request),
        }
    }

    fn on_reload(&mut self, out: &mut impl Outbox) {
        let Application::Serve(serve) = self else { return };
        if serve.method == Method::None {
            return;
        }
        match credentials::load(&serve.method) {
            Ok(authenticator) => {
                serve.hub.set_authenticator(authenticator, out);
                log::info!("read who may come in again");
            }
            Err(problem) => log::warn!("kept who may come in: {problem}"),
        }
    }

    fn on_drained(&mut self, id: ConnId, out: &mut impl Outbox) {
        if let Application::Serve(serve) = self {
            serve.hub.on_drained(id, out);
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        match self {
            Application::Serve(serve) => serve.hub.next_timeout(),
            Application::Echo(_) => None,
        }
    }

    fn on_timeout(&mut self, out: &mut impl Outbox) {
        if let Application::Serve(serve) = self {
            serve.hub.on_timeout(out);
        }
    }

    fn on_stop(&mut self, out: &mut impl Outbox) {
        if let Application::Serve(serve) = self {
            serve.hub.on_stop(out);
        }
    }
}
