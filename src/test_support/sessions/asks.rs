//! What the hub must do with each request, and the one answer that it must give.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::model::{Mode, Model, Session};
use super::view::View;
use crate::chat::wire::reply::write_plain_chat;
use crate::chat::wire::request::{Body, Chat, Hello, JoinOptions, LOBBY, Refusal, Request, RequestId, VERSION};
use crate::server::ConnId;

/// The answers to what one message asked, taken one by one.
#[derive(Debug)]
pub(super) struct Answers {
    left: VecDeque<Value>,
    /// What each of them tells of rooms: `None` is one that was left.
    pub(super) news: VecDeque<Vec<(String, Option<View>)>>,
    /// Rooms that were joined or left without an answer.
    pub(super) silent: BTreeSet<String>,
    /// Chats and patches that were said while it was not known whether their sender hears them.
    own: Vec<(String, u64, bool)>,
}

impl Answers {
    pub(super) fn new(answers: impl Iterator<Item = Value>) -> Answers {
        Answers { left: answers.collect(), news: VecDeque::new(), silent: BTreeSet::new(), own: Vec::new() }
    }

    /// The next answer must be this.
    fn take(&mut self, message_type: &str, id: Option<&str>) -> Value {
        let answer = self.left.pop_front().unwrap_or_else(|| panic!("no {message_type} answers {id:?}"));
        let id: Value = id.map_or(Value::Null, |id| serde_json::from_str(id).expect("an id is JSON"));
        assert!(answer["type"] == message_type && answer["id"] == id, "a {message_type} to {id}, not {answer}");
        self.news.push_back(Vec::new());
        answer
    }

    fn error(&mut self, id: Option<&str>, code: &str) -> Value {
        let error = self.take("error", id);
        assert_eq!(error["code"], code, "{error}");
        error
    }

    /// Only who gives an id gets an answer.
    fn ack(&mut self, id: Option<&str>, room: Option<&str>) -> Option<Value> {
        let ack = self.take("ack", Some(id?));
        assert_eq!(ack["room"].as_str(), room, "{ack}");
        Some(ack)
    }

    pub(super) fn check_end(&self) {
        assert!(self.left.is_empty(), "nobody asked for {:?}", self.left);
    }
}

impl Model {
    /// Does what a client asks for, as the protocol has it.
    pub(super) fn ask(
        &mut self,
        from: ConnId,
        request: Result<Request<'_>, Refusal>,
        text: &str,
        answers: &mut Answers,
    ) {
        let mode = self.lines[&from].mode;
        if let Mode::Closed(_) = mode {
            return;
        }
        let (id, body) = match request {
            Ok(Request { id, body }) => (id, body),
            Err(refusal) => {
                let error = answers.error(refusal.id.as_ref().map(RequestId::as_json), refusal.error.code.as_str());
                return assert_eq!(error["room"].as_str(), refusal.room.as_deref());
            }
        };
        let id = id.as_ref().map(RequestId::as_json);
        match (mode, body) {
            (Mode::Plain, Body::Chat(chat)) => {
                self.publish(LOBBY, from, &chat.own_members(), text);
                self.touch(LOBBY);
            }
            (Mode::Session, Body::Hello(_)) => drop(answers.error(id, "invalid_message")),
            (_, Body::Hello(hello)) => self.hello(from, id, &hello, answers),
            (Mode::Session, body) => self.ask_in_session(from, id, body, answers),
            _ => drop(answers.error(id, "hello_required")),
        }
    }

    fn ask_in_session(&mut self, from: ConnId, id: Option<&str>, body: Body<'_>, answers: &mut Answers) {
        let session = self.lines[&from].session.clone();
        if let Body::Chat(_) = &body
            && let Some((room, epoch, seq)) = id.and_then(|id| self.accepted(&session, id))
        {
            let ack = answers.ack(id, Some(&room)).expect("there is an id");
            return assert!(ack["epoch"] == epoch && ack["seq"] == seq && ack["duplicate"] == true, "{ack}");
        }
        let room = match &body {
            Body::Leave { room } | Body::Signal { room, .. } | Body::Patch { room, .. } => Some(room),
            Body::Chat(chat) => Some(&chat.room),
            _ => None,
        };
        if let Some(room) = room.filter(|room| !self.sessions[&session].rooms.contains_key(&***room)) {
            let error = answers.error(id, "not_joined");
            return assert_eq!(error["room"].as_str(), Some(&**room));
        }
        match body {
            Body::Hello(_) => {}
            Body::Auth { .. } => drop(answers.ack(id, None)),
            Body::Ping => drop(answers.take("pong", id)),
            Body::Join { room, .. } if !self.may_join(&session, &room) => drop(answers.error(id, "room_limit")),
            Body::Join { room, options } => {
                let ack = answers.ack(id, Some(&room));
                let view = self.join(&session, &room, &options, ack.as_ref());
                match (ack, answers.news.back_mut()) {
                    (Some(_), Some(news)) => news.push((room.into_owned(), Some(view))),
                    _ => drop(answers.silent.insert(room.into_owned())),
                }
            }
            Body::Leave { room } => {
                self.sessions.get_mut(&session).expect("it speaks").rooms.remove(&*room);
                self.touch(&room);
                match (answers.ack(id, Some(&room)), answers.news.back_mut()) {
                    (Some(_), Some(news)) => news.push((room.into_owned(), None)),
                    _ => drop(answers.silent.insert(room.into_owned())),
                }
            }
            Body::Chat(chat) => self.chat(from, id, &chat, answers),
            Body::Signal { room, data } => {
                let data = data.map(|data| format!(r#","data":{data}"#)).unwrap_or_default();
                let (name, from) = (Value::from(&*room), format!(r#"{{"session":"{session}"}}"#));
                self.signals.insert(format!(r#"{{"type":"signal","room":{name},"from":{from}{data}}}"#));
                answers.ack(id, Some(&room));
            }
            Body::Patch { room, base, patch } => match self.patch(&room, from, base, patch) {
                Ok(version) => {
                    if let Some(ack) = answers.ack(id, Some(&room)) {
                        assert_eq!(ack["version"], version);
                    }
                    answers.own.push((room.into_owned(), version, false));
                }
                Err(code) => {
                    let error = answers.error(id, code);
                    let version = self.rooms[&*room].version();
                    assert!(code != "version_conflict" || error["version"] == version, "{error}");
                }
            },
        }
    }

    fn chat(&mut self, from: ConnId, id: Option<&str>, chat: &Chat<'_>, answers: &mut Answers) {
        let session = self.lines[&from].session.clone();
        let (own_members, mut plain) = (chat.own_members(), String::new());
        write_plain_chat(&mut plain, &own_members);
        let seq = self.publish(&chat.room, from, &own_members, &plain);
        answers.own.push((chat.room.to_string(), seq, true));
        if let Some(ack) = answers.ack(id, Some(&chat.room)) {
            assert!(ack["seq"] == seq && ack["duplicate"].is_null(), "{ack} is {seq}");
            self.note_epoch(&chat.room, &ack["epoch"]);
            let epoch = ack["epoch"].as_str().unwrap_or_default().to_owned();
            self.note_accepted(&session, id.unwrap_or_default(), (chat.room.to_string(), epoch, seq));
        }
    }

    fn join(&mut self, session: &str, name: &str, options: &JoinOptions<'_>, told: Option<&Value>) -> View {
        self.open_room(name);
        let wants = (options.presence, options.state);
        let joining = self.sessions.get_mut(session).expect("it joins");
        joining.rooms.insert(name.to_owned(), wants);
        joining.gone.remove(name);
        self.touch(name);
        let Some(told) = told else { return View::loose() };
        self.note_epoch(name, &told["epoch"]);
        let mut view = View::of(self, &self.rooms[name], options, told);
        let present = self.present(name, session);
        match (&told["members"], &told["count"]) {
            (Value::Null, Value::Null) => assert!(!options.presence, "{told}"),
            (Value::Null, count) => view.count(count, &present),
            (members, _) => view.show(members, &present),
        }
        view
    }

    fn hello(&mut self, from: ConnId, id: Option<&str>, hello: &Hello<'_>, answers: &mut Answers) {
        if hello.version != VERSION {
            answers.error(id, "unsupported_version");
            return self.depart(from, true, Mode::Closed(4000));
        }
        let welcome = answers.take("welcome", id);
        let (name, is_resumed) = self.begin(from, hello, &welcome);
        assert_eq!(welcome["resumed"], is_resumed, "{welcome}");

        let own = self.sessions[&name].rooms.clone();
        let of_own = own.iter().map(|(room, &(presence, state))| {
            (room.clone(), JoinOptions { presence, state, ..JoinOptions::default() })
        });
        let named: Vec<(String, &JoinOptions<'_>)> =
            hello.rooms.iter().flatten().map(|(room, options)| (room.to_string(), options)).collect();
        let mut usual: Vec<(String, JoinOptions<'_>)> = Vec::new();
        match &hello.rooms {
            None if is_resumed => usual.extend(of_own),
            None => usual.push((LOBBY.to_owned(), JoinOptions::default())),
            Some(_) => {}
        }
        let rooms: Vec<(String, &JoinOptions<'_>)> =
            named.into_iter().chain(usual.iter().map(|(room, options)| (room.clone(), options))).collect();
        for room in own.keys().filter(|room| !rooms.iter().any(|(named, _)| named == *room)) {
            self.sessions.get_mut(&name).expect("it has begun").rooms.remove(room);
            self.touch(room);
        }
        for room in own.keys() {
            self.touch(room);
        }
        let (mut views, mut refused) = (BTreeMap::new(), Vec::new());
        for (room, options) in rooms {
            if self.may_join(&name, &room) {
                let view = self.join(&name, &room, options, Some(&welcome["rooms"][&room]));
                views.insert(room, Some(view));
            } else {
                self.sessions.get_mut(&name).expect("it has begun").rooms.remove(&room);
                self.touch(&room);
                refused.push(room);
            }
        }
        let told = welcome["rooms"].as_object().expect("rooms");
        assert!(told.keys().eq(views.keys()), "the rooms of {welcome}");
        *answers.news.back_mut().expect("it was welcomed") = views.into_iter().collect();
        for room in refused {
            let error = answers.error(None, "room_limit");
            assert_eq!(error["room"], room);
        }
    }

    /// Begins a session, or goes on with one.
    fn begin(&mut self, from: ConnId, hello: &Hello<'_>, welcome: &Value) -> (String, bool) {
        let [name, token] = ["session", "resume_token"].map(|name| welcome[name].as_str().expect("a text").to_owned());
        let known = hello.resume.as_ref().filter(|resume| {
            self.sessions.get(&*resume.session).is_some_and(|session| *session.token == *resume.token)
        });
        let line = self.lines.get_mut(&from).expect("it speaks");
        let before = std::mem::replace(&mut line.mode, Mode::Session);
        let plain = std::mem::replace(&mut line.session, name.clone());
        if let Some(resume) = known {
            assert_eq!((&*name, &*token), (&*resume.session, &*resume.token), "{welcome}");
            self.resume(&name, from);
            if let Some(info) = hello.info {
                self.sessions.get_mut(&name).expect("it goes on").info = Some(info.to_owned());
                self.stirred_at = self.now;
            }
        } else {
            assert!(before == Mode::Waiting || name == plain, "it keeps the id by which others know it");
            assert!(self.known.iter().all(|(old, secret)| *old != name && *secret != token), "ids are new");
            self.known.push((name.clone(), token.clone()));
            let (rooms, accepted) = (BTreeMap::new(), VecDeque::new());
            let (info, line) = (hello.info.map(str::to_owned), Some(from));
            self.sessions.insert(
                name.clone(),
                Session { token, info, rooms, gone: BTreeSet::new(), line, lost_at: None, accepted },
            );
        }
        if before == Mode::Plain {
            self.touch_but(LOBBY, Some(from));
        }
        (name, known.is_some())
    }

    /// What an answer told is known from here on.
    pub(super) fn learn(&mut self, id: ConnId, answers: &mut Answers) {
        let news = answers.news.pop_front().expect("an answer that nobody asked for");
        let line = self.lines.get_mut(&id).expect("an open connection");
        for (room, view) in news {
            let earlier = line.views.remove(&room);
            let view = match view {
                _ if answers.silent.contains(&room) => View::loose(),
                Some(view) => view.going_on(earlier, &self.rooms[&room], &line.session),
                None => continue,
            };
            line.views.insert(room, view);
        }
    }

    /// What was asked without an answer, and what a client said that will be sent what it missed.
    pub(super) fn learn_silently(&mut self, id: ConnId, answers: &Answers, is_replayed: bool) {
        let views = &mut self.lines.get_mut(&id).expect("an open connection").views;
        for room in &answers.silent {
            views.insert(room.clone(), View::loose());
        }
        for (room, number, is_chat) in answers.own.iter().filter(|_| is_replayed) {
            let Some(view) = views.get_mut(room) else { continue };
            let order = if *is_chat { Some(&mut view.chats) } else { view.patches.as_mut() };
            order.into_iter().for_each(|order| order.own_until = order.own_until.max(*number));
        }
    }
}
