//! §4, §5.5, §7: one WebSocket connection as the server sees it: the state machine that ties the other files together.
//!
//! ```text
//!  Connecting --accept()--> Open --close()--> CloseSent --the peer's Close--> Closed
//!      |                     |                    |                             ^
//!      '--rejected, the peer's Close (echoed), a broken rule, end of file, -----'
//!         a timeout, a queue that is full
//! ```
//!
//! §7.1.1: the server is the first to close the transport, but cleanly. So `Closed` is not yet gone: the server flushes
//! what waits, shuts its side of the transport down, and reads on until the peer has done the same or the close timeout
//! is over ([`Connection::is_done`]). Otherwise the transport could be reset, and our Close frame lost on its way.

mod compressed;
mod direct;
mod time;

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Instant;

use super::close::{CloseCode, encode_close_payload, parse_close_payload};
use super::commons::Commons;
use super::deflate::Extension;
use super::end::{End, code_word};
use super::error::{HandshakeError, ProtocolError};
use super::frame::{FrameDecoder, Opcode, header_len};
use super::handshake::document::{Document, DocumentRequest, Opening};
use super::handshake::{OpeningHandshake, Request, encode_rejection, encode_rejection_head};
use super::input::Input;
use super::limits::deadline;
use super::message::{Assembled, ControlFrame, Message, MessageAssembler};
use super::moment::Moment;
use super::send_queue::SendQueue;
use super::shared_frame::SharedFrame;

/// One connection, without its socket. The methods come in four kinds:
///
/// - **Bytes in**: [`poll_event`](Connection::poll_event) until it gives `None`, for each read;
///   [`receive_eof`](Connection::receive_eof), [`abort`](Connection::abort). Without a copy, for long payloads:
///   [`payload_room`](Connection::payload_room), [`poll_payload`](Connection::poll_payload).
/// - **Commands**: [`accept`](Connection::accept) or [`reject`](Connection::reject) the request (or
///   [`answer`](Connection::answer) it, if it is for a document), then
///   [`send`](Connection::send), [`send_directly`](Connection::send_directly),
///   [`send_shared`](Connection::send_shared), [`close`](Connection::close).
/// - **Bytes out**: [`outgoing`](Connection::outgoing), then [`sent`](Connection::sent) with what the socket took.
/// - **Time**: [`next_timeout`](Connection::next_timeout), [`handle_timeout`](Connection::handle_timeout),
///   [`hasten_ping`](Connection::hasten_ping).
///
/// Pings, pongs and Close frames are never events. The end is a [state](Connection::state), to be looked at whenever
/// one of the methods was called, so that every way to it meets in one place.
///
/// ```
/// use std::time::Instant;
/// use frameloop::protocol::{Commons, Connection, Event, HandshakeError, Input, Limits};
///
/// let now = Instant::now();
/// let mut connection = Connection::new(Commons::new(Limits::default()), now);
/// let mut bytes = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\
///     \x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec();
/// let mut input = Input::new(&mut bytes);
/// while let Some(event) = connection.poll_event(&mut input, now) {
///     match event {
///         Event::Request(request) => connection.accept(&request, None, now),
///         Event::Document(request) => connection.answer(&request, Err(HandshakeError::NotAnUpgrade), now),
///         Event::Message(message) => assert!(connection.send(message, now)), // an echo
///     }
/// }
/// assert!(connection.outgoing().collect::<Vec<_>>().concat().ends_with(b"\r\n\r\n\x81\x05Hello"));
/// ```
#[derive(Debug)]
pub struct Connection {
    commons: Rc<Commons>,
    state: State,
    has_eof: bool,
    is_aborted: bool,
    /// It is not known yet who the peer is.
    is_restricted: bool,
    /// The next ping comes sooner than an interval after the last.
    is_ping_hastened: bool,
    unanswered_pings: u8,
    /// What a peer is told that is too slow.
    overload_code: CloseCode,
    /// The end of the time for the opening handshake, the next ping, or the end of the time for closing: by state.
    deadline: Moment,
    /// While the request head is awaited.
    opening: Option<Box<OpeningHandshake>>,
    decoder: FrameDecoder,
    assembler: MessageAssembler,
    queue: SendQueue,
    extension: Extension,
    end: Option<Box<End>>,
}

/// The states of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The opening handshake is not complete (§4).
    Connecting,
    /// Messages go both ways.
    Open,
    /// We sent a Close frame and wait for the peer's (§7.1.2). Messages are no longer taken or sent.
    CloseSent,
    /// Nothing more is processed (§7.1.4). What waits may still go out.
    Closed,
}

/// What a connection has to tell.
#[derive(Debug)]
pub enum Event<'b> {
    /// The client asks to open a WebSocket connection (§4.2.1): [`accept`](Connection::accept) or
    /// [`reject`](Connection::reject) it. Until then nothing more is taken from the input.
    Request(Request),
    /// The client asks for a document instead (RFC 9110): [`answer`](Connection::answer) it. What follows it is not
    /// looked at.
    Document(DocumentRequest),
    /// A message, with the lifetime of the read buffer.
    Message(Message<'b>),
}

/// Which deadline runs. All connections of one server wait equally long for deadlines of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// [`Limits::handshake_timeout`](super::Limits::handshake_timeout).
    Handshake,
    /// [`Limits::ping_interval`](super::Limits::ping_interval).
    Ping,
    /// What [`Connection::hasten_ping`] was told, which can be another time for each connection.
    HastenedPing,
    /// [`Limits::close_timeout`](super::Limits::close_timeout).
    Close,
}

impl Connection {
    /// A connection whose transport has just been established.
    pub fn new(commons: Rc<Commons>, now: Instant) -> Connection {
        Connection {
            state: State::Connecting,
            has_eof: false,
            is_aborted: false,
            is_restricted: false,
            is_ping_hastened: false,
            unanswered_pings: 0,
            overload_code: CloseCode::TRY_AGAIN_LATER,
            deadline: commons.epoch(now).moment(deadline(now, commons.limits().handshake_timeout)),
            opening: Some(Box::default()),
            decoder: FrameDecoder::new(),
            assembler: MessageAssembler::default(),
            queue: SendQueue::default(),
            extension: Extension::default(),
            end: None,
            commons,
        }
    }

    /// Where the connection stands.
    #[inline]
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it ended, once it did. It is known from the first step of closing on.
    pub fn end(&self) -> Option<&End> {
        self.end.as_deref()
    }

    /// The extension that was agreed on (§9), by its name.
    #[inline]
    pub fn extension(&self) -> Option<&'static str> {
        self.extension.is_agreed().then_some("permessage-deflate")
    }

    /// Whether nothing more will be sent or received: the transport can be dropped.
    pub fn is_done(&self) -> bool {
        self.is_aborted || (self.state == State::Closed && self.has_eof && self.queue.is_empty())
    }

    /// Heap bytes that the connection owns now, its buffers by their capacity: what is kept of a request head or of a
    /// message that is not whole, and what waits for the socket. Frames shared with other connections do not count.
    pub fn held_bytes(&self) -> usize {
        let opening = self.opening.as_ref().map_or(0, |opening| size_of_val(&**opening) + opening.held_bytes());
        let end = self.end.as_ref().map_or(0, |end| size_of_val(&**end));
        opening + end + self.assembler.held_bytes() + self.queue.held_bytes() + self.extension.held_bytes()
    }

    // ---- bytes in

    /// Takes bytes from `input` up to the next event, or all of them. Call it until it returns `None`.
    ///
    /// Once the connection is closed, the input is discarded.
    #[inline]
    pub fn poll_event<'b>(&mut self, input: &mut Input<'b>, now: Instant) -> Option<Event<'b>> {
        if !input.is_empty() {
            self.unanswered_pings = 0; // any byte is a sign of life: a pong can be stuck behind data
        }
        loop {
            match self.state {
                State::Connecting => return self.poll_request(input, now),
                State::Open | State::CloseSent => match self.poll_frame(input) {
                    Ok(None) => return None,
                    Ok(Some(Assembled::Message(message))) if self.state == State::Open => {
                        return Some(Event::Message(message));
                    }
                    // Our own choice, for §7.1.2 leaves it open: whoever has closed hears nothing more.
                    Ok(Some(Assembled::Message(_))) => {}
                    Ok(Some(Assembled::Compressed(opcode, payload))) => {
                        if let Some(message) = self.decompress(opcode, &payload, now) {
                            return Some(Event::Message(message));
                        }
                    }
                    Ok(Some(Assembled::Control(frame))) => self.receive_control(frame, now),
                    Err(error) => self.fail(error, now),
                },
                State::Closed => {
                    input.take_all(); // §7.1.7: after the end nothing more is processed
                    return None;
                }
            }
        }
    }

    /// The peer will send nothing more. Without a Close frame before, the connection is lost (§7.1.5: 1006); what
    /// waits for the peer is still sent, for it may have closed its own side only.
    pub fn receive_eof(&mut self, now: Instant) {
        self.has_eof = true;
        self.enter_closed(End::Lost, now);
    }

    /// The transport broke: nothing more can be sent or received.
    pub fn abort(&mut self, now: Instant) {
        self.enter_closed(End::Reset, now);
        self.queue = SendQueue::default();
        self.is_aborted = true;
    }

    #[cold]
    fn poll_request<'b>(&mut self, input: &mut Input<'b>, now: Instant) -> Option<Event<'b>> {
        match self.opening.as_mut()?.poll_request(input) {
            Ok(None) => None,
            Ok(Some(opening)) => {
                self.opening = None;
                Some(match opening {
                    Opening::Upgrade(request) => Event::Request(request),
                    Opening::Document(request) => Event::Document(request),
                })
            }
            Err(error) => {
                input.take_all();
                self.reject(error, now);
                None
            }
        }
    }

    /// The next whole message or control frame.
    #[inline]
    fn poll_frame<'b>(&mut self, input: &mut Input<'b>) -> Result<Option<Assembled<'b>>, ProtocolError> {
        loop {
            if !self.decoder.is_in_payload() {
                let Some(header) = self.decoder.poll_header_with(input, self.extension.is_agreed())? else {
                    return Ok(None);
                };
                let limits = self.commons.limits_of(self.is_restricted);
                self.assembler.begin_frame(&header, limits)?;
            }
            let Some(chunk) = self.decoder.poll_chunk(input) else { return Ok(None) };
            if let Some(assembled) = self.assembler.push(chunk)? {
                return Ok(Some(assembled));
            }
        }
    }

    fn receive_control(&mut self, frame: ControlFrame<'_>, now: Instant) {
        match frame {
            // §5.5.2: MUST send a Pong in response, unless it already received a Close frame.
            // §5.5.3: with identical application data.
            ControlFrame::Ping(payload) => self.queue.push_control(Opcode::Pong, &payload, &self.commons),
            ControlFrame::Pong(_) => {} // §5.5.3: a response to an unsolicited Pong is not expected
            ControlFrame::Close(payload) => match parse_close_payload(&payload) {
                Ok(close) => {
                    let code = close.map(|(code, _)| code);
                    if self.state == State::Open {
                        // §5.5.1: MUST send a Close frame in response; it typically echoes the code.
                        let echo = code.map_or(Vec::new(), |code| encode_close_payload(code, ""));
                        self.queue.push_frame(Opcode::Close, Cow::Owned(echo), &self.commons);
                    }
                    self.enter_closed(End::ClosedByPeer(code), now);
                }
                Err(error) => self.fail(error, now),
            },
        }
    }

    /// §7.1.7: fails the connection. The only way for a broken rule: the Close frame, then nothing more.
    ///
    /// The Close frame follows the messages that were sent before, as the peer's own order has it. But it does not wait
    /// behind a queue that the peer does not take: then what waits is dropped, unless our Close frame is in it already.
    fn fail(&mut self, error: ProtocolError, now: Instant) {
        let code = error.close_code();
        if self.state == State::Open && self.queue.stuck_since().is_some() {
            self.queue.drop_unsent();
        }
        self.push_close(code, &format!("{}: {error}", code_word(code)));
        self.enter_closed(End::Failed(error), now);
    }

    /// Ends a connection whose peer takes nothing more. What waits is dropped, so that memory is free at once and
    /// the Close frame has a chance.
    fn give_up(&mut self, end: End, now: Instant) {
        self.queue.drop_unsent();
        if let Some(code) = end.close_code() {
            self.push_close(code, end.word());
        }
        self.enter_closed(end, now);
    }

    /// Queues our Close frame, unless one was sent before. §5.5.1: no data frame follows it; a Pong may.
    fn push_close(&mut self, code: CloseCode, reason: &str) {
        if self.state == State::Open {
            self.queue.push_frame(Opcode::Close, Cow::Owned(encode_close_payload(code, reason)), &self.commons);
        }
    }

    fn enter_closed(&mut self, end: End, now: Instant) {
        if self.state != State::Closed {
            self.begin_closing(end, now);
            self.state = State::Closed;
            self.opening = None;
            self.decoder = FrameDecoder::new();
            self.assembler = MessageAssembler::default();
            self.extension = Extension::default();
        }
    }

    /// Notes the cause and starts the time for closing, both at the first step only.
    fn begin_closing(&mut self, end: End, now: Instant) {
        if self.end.is_none() {
            self.end = Some(Box::new(end));
            self.set_deadline(now, self.commons.limits().close_timeout);
        }
    }

    // ---- commands

    /// Accepts the request, with one of our own subprotocols or none (§4.2.2), and with the first offer of an extension (§9.1)
    /// that can be. Whoever does not decide at once asks for
    /// the [state](Connection::state) first: a request whose time is over has been refused.
    ///
    /// # Panics
    /// If no request waits for its answer, or the subprotocol is no token: a bug of the caller.
    pub fn accept(&mut self, request: &Request, subprotocol: Option<&str>, now: Instant) {
        assert!(self.state == State::Connecting && self.opening.is_none(), "no request waits for its answer");
        let (extension, response) = self.commons.deflate().negotiate(request);
        self.queue.push_response(request.encode_accept(subprotocol, response.as_deref()));
        self.extension = extension;
        self.state = State::Open;
        self.set_deadline(now, self.commons.limits().ping_interval);
    }

    /// Answers a request for a document, or refuses it, and ends the connection. As long as the client goes on taking
    /// the document it has time for it; when it takes nothing for [`Limits::close_timeout`](super::Limits::close_timeout),
    /// it has as much again at most.
    ///
    /// # Panics
    /// If no request waits for its answer: a bug of the caller.
    pub fn answer(&mut self, request: &DocumentRequest, document: Result<&Document, HandshakeError>, now: Instant) {
        assert!(self.state == State::Connecting && self.opening.is_none(), "no request waits for its answer");
        match document {
            Ok(document) => {
                self.queue.push_response(document.encode_head());
                if !request.is_head() && !document.body().is_empty() {
                    self.queue.push_shared(document.shared_body(), &self.commons);
                }
                self.enter_closed(End::Answered, now);
            }
            Err(error) if request.is_head() => {
                self.queue.push_response(encode_rejection_head(&error));
                self.enter_closed(End::Refused(error), now);
            }
            Err(error) => self.reject(error, now),
        }
    }

    /// Refuses the request: an HTTP response, and the end (§4.2.2). Nothing that follows it is looked at.
    ///
    /// # Panics
    /// If the connection is open or closed already: a bug of the caller.
    pub fn reject(&mut self, error: HandshakeError, now: Instant) {
        assert!(self.state == State::Connecting, "only a request can be refused");
        self.queue.push_response(encode_rejection(&error));
        self.enter_closed(End::Refused(error), now);
    }

    /// Queues a message in one frame, and returns whether it did. A payload that is owned is not copied.
    ///
    /// If the connection is not open the message is dropped. If the queue cannot hold it, the connection ends with
    /// 1013 and [`End::QueueFull`]: the peer is told, never left with a hole.
    #[inline]
    pub fn send(&mut self, message: Message<'_>, now: Instant) -> bool {
        let (opcode, payload) = message.into_parts();
        if self.extension.is_agreed()
            && let Some(compressed) = self.compress(&payload)
        {
            return self.send_compressed(opcode, compressed, now);
        }
        let has_room = self.has_room(header_len(payload.len() as u64) + payload.len(), now);
        if has_room {
            self.queue.push_frame(opcode, payload, &self.commons);
        }
        has_room
    }

    /// Queues a frame that other connections get as well; otherwise as [`send`](Connection::send).
    #[inline]
    pub fn send_shared(&mut self, frame: &SharedFrame, now: Instant) -> bool {
        if self.extension.is_agreed() {
            return self.send_variant(frame, now);
        }
        self.send_frame(frame, now)
    }

    /// Queues a frame as it is.
    #[inline]
    fn send_frame(&mut self, frame: &SharedFrame, now: Instant) -> bool {
        let has_room = self.has_room(frame.as_bytes().len(), now);
        if has_room {
            self.queue.push_shared(frame, &self.commons);
        }
        has_room
    }

    /// Begins the closing handshake (§7.1.2): a Close frame behind what waits, then the peer has
    /// [`Limits::close_timeout`](super::Limits::close_timeout) to answer. Without effect if the connection is not open:
    /// before that there is [`reject`](Connection::reject).
    pub fn close(&mut self, code: CloseCode, reason: &str, now: Instant) {
        if self.state == State::Open {
            self.push_close(code, reason);
            self.begin_closing(End::ClosedByUs(code), now);
            self.state = State::CloseSent;
        }
    }

    /// Whether messages of the peer may have no more than
    /// [`RESTRICTED_MESSAGE_BYTES_MAX`](super::limits::RESTRICTED_MESSAGE_BYTES_MAX) bytes, as long as it is not known who it
    /// is. It holds from the next frame on.
    pub fn restrict(&mut self, is_restricted: bool) {
        self.is_restricted = is_restricted;
    }

    /// The code of the Close frame for a peer that is too slow: 1013 unless this says something else.
    pub fn set_overload_code(&mut self, code: CloseCode) {
        self.overload_code = code;
    }

    /// Whether a frame may be queued; ends the connection if the queue cannot hold it.
    #[inline]
    fn has_room(&mut self, frame_len: usize, now: Instant) -> bool {
        if self.state != State::Open {
            return false;
        }
        let has_room = frame_len <= self.commons.limits().queue_bytes_max.saturating_sub(self.queue.len());
        if !has_room {
            self.give_up(End::QueueFull(self.overload_code), now);
        }
        has_room
    }

    // ---- bytes out

    /// What waits for the socket, in the order in which it goes out; no slice is empty.
    #[inline]
    pub fn outgoing(&self) -> impl Iterator<Item = &[u8]> {
        self.queue.outgoing()
    }

    /// The number of bytes that wait.
    #[inline]
    pub fn queued_bytes(&self) -> usize {
        self.queue.len()
    }

    /// The socket took the first `count` bytes of [`outgoing`](Connection::outgoing); 0 means that it takes none now.
    ///
    /// # Panics
    /// If `count` is more than [waits](Connection::queued_bytes): a bug of the caller.
    #[inline]
    pub fn sent(&mut self, count: usize, now: Instant) {
        if count > 0 && self.queue.stuck_since().is_some() {
            // There is room again where there was none: the peer's side has taken bytes, so it lives. It may have to take
            // a long frame before it can see our ping.
            self.unanswered_pings = 0;
        }
        self.queue.sent(count, now, &self.commons);
    }
}
