/**
 * The demo page of frameloop: a chat, who is here, and a board of notes, all in one room. It shows how `frameloop.js`
 * is used. What comes from other clients may be any JSON: it is checked, cut, and shown as text only.
 */

import { connect, diff } from "./frameloop.js";

/**
 * @typedef {import("./frameloop.js").Message} Message
 * @typedef {import("./frameloop.js").Member} Member
 * @typedef {ReturnType<typeof connect>} Client
 * @typedef {Awaited<ReturnType<Client["join"]>>} Room
 * @typedef {{ text: string, color: string, x: number, y: number, by: string }} Note `x` and `y` from 0 to `PLACES`
 * @typedef {{ item: HTMLElement, grip: HTMLElement, text: HTMLTextAreaElement, by: HTMLElement }} NoteView
 */

const LINES_MAX = 500; // of the chat
const CHARS_MAX = 2000; // of one of them
const PEOPLE_MAX = 50; // that are shown
const NOTES_MAX = 50;
const ROOM_CHARS_MAX = 42; // the server takes 128 bytes
const PLACES = 1000; // on either axis of the board
const SESSIONS_MAX = 20; // of our own that are remembered
const COLORS = ["yellow", "pink", "green", "blue"];
/** @type {Record<string, string>} */
const GAP_REASONS = {
  overrun: "this tab was too slow",
  expired: "the server keeps only the latest",
  reset: "the server has lost its log, as in a restart, and the board begins anew",
};
/** @type {Record<string, number[]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TYPING_MS = 4000; // that somebody counts as typing
const PING_MS = 5000; // between measurements of the latency

/** Whatever has an id, by it. @type {Record<string, any>} */
const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((found) => [found.id, found]));
/** @type {NodeListOf<HTMLButtonElement>} */
const addButtons = document.querySelectorAll(".colors button");
const roomName = cut(new URLSearchParams(location.search).get("room"), ROOM_CHARS_MAX) || "lobby";
const serverUrl = new URL(".", location.href);
serverUrl.protocol = serverUrl.protocol.replace("http", "ws");

// ---- the line

/** @type {Client} */
let client;
/** @type {Room} */
let room;
let toldName = "";
/** Under which we have spoken, the latest first: what comes back from them is here already. @type {string[]} */
let ownSessions = [];
/** What has no ack yet. @type {Set<Promise<any>>} */
const onTheirWay = new Set();
/** Chats up to here were said while we were away. */
let missedUpTo = 0;
let [reconnects, recovered] = [0, 0];

/** What the plug connects. @type {WebSocket | undefined} */
let socket;
let isPlugged = true;

/** A WebSocket with a plug. While it is pulled, the client finds no line, as if the network were gone. */
class Plug {
  /** @param {string} url @param {string[]} protocols */
  constructor(url, protocols) {
    if (isPlugged) return (socket = new WebSocket(url, protocols));
    const dead = { readyState: 0, close() {}, onclose: (/** @type {object} */ _close) => {} };
    setTimeout(() => dead.onclose({ code: 1006, reason: "the plug is pulled" }), 300);
    return dead;
  }
}

/** Behind the client's back. Not with 1000: that would end the session, and nothing could be resumed. */
function dropLine() {
  socket?.close(3000, "dropped");
}

/** Opens a session. One that follows another goes on in the chat where that one was. */
function start() {
  const since = room?.epoch === undefined ? undefined : { epoch: room.epoch, seq: room.seq };
  client?.close();
  toldName = page.name.value;
  client = connect(serverUrl.href, {
    token: sessionStorage.getItem("frameloop-token") ?? undefined,
    info: { name: toldName },
    rooms: { [roomName]: { presence: true, state: true, last: 50, since } },
    WebSocket: Plug,
  });
  room = /** @type {Room} */ (client.rooms.get(roomName));

  let isBack = false;
  client.on("welcome", (welcome) => {
    ownSessions = [welcome.session, ...ownSessions].slice(0, SESSIONS_MAX);
    page.session.textContent = `${welcome.session.slice(0, 8)}…`;
    page.session.title = welcome.session;
    missedUpTo = isBack || since ? Number(welcome.rooms?.[roomName]?.seq) : 0;
    if (isBack) {
      page.reconnects.textContent = String(++reconnects);
      addEvent(welcome.resumed ? "Connected again: the session goes on" : "Connected again, in a new session");
    } else {
      // Not before: whom the welcome names was here already.
      room.on("join", (member) => addEvent(`${nameOf(member)} came`));
      room.on("leave", (member) => addEvent(`${nameOf(member)} left`));
    }
    isBack = true;
    showPeople();
    client.ping();
    if (room.version === 0) putFirstNotes();
  });
  client.on("status", showStatus);
  client.on("error", ({ message, details }) => {
    // The answer to a request is shown where the request was made, but who is not let in has made none.
    const isAnswer = details.id !== undefined && client.status.state === "open";
    if (details.type === "error" && !isAnswer) addEvent(`The server says: ${message}`);
  });
  room.on("presence", showPeople);
  room.on("chat", hear);
  room.on("gap", showGap);
  room.on("signal", ({ from, data }) => hearTyping(from?.session, data?.typing === true));
  room.on("state", drawSoon);
  client.join(roomName).catch(({ code, message }) => {
    if (code !== "closed") addEvent(`The room ${roomName} is closed to us: ${message}`);
  });
  showStatus();
}

function showStatus() {
  const { state, code, reason, latency, retryAt = 0 } = client.status;
  const text = {
    connecting: "Connecting …",
    open: "Connected",
    waiting: "Line lost",
    offline: "Gave up for now",
    stopped: `Stopped: ${reason || `code ${code}`}`,
  }[state];
  if (page.status.textContent !== text) page.status.textContent = text; // it is read out
  page.status.dataset.state = state;
  page.drop.disabled = state !== "open";
  page["token-form"].hidden = state === "open" || (code !== 4001 && code !== 4200);
  page.reconnect.disabled = state === "open" || state === "connecting" || !isPlugged;
  page.latency.textContent = state !== "open" || latency === undefined ? "–" : `${latency || "< 1"} ms`;
  const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  page.countdown.textContent = state === "waiting" ? `, next try in ${seconds} s` : "";
}

/** Remembers what waits for its ack. @param {Promise<any>} answer */
function track(answer) {
  onTheirWay.add(answer);
  answer.catch(() => {}).finally(() => onTheirWay.delete(answer));
  return answer;
}

/** A name is told when a session begins; what is still on its way from this one goes first. */
async function rename() {
  page.name.value = cut(page.name.value, 30) || guestName();
  sessionStorage.setItem("frameloop-name", page.name.value);
  while (onTheirWay.size > 0) await Promise.allSettled(onTheirWay);
  if (page.name.value !== toldName) start();
}

const guestName = () => `Guest ${10 + Math.floor(Math.random() * 90)}`;

// ---- who is here

/** @param {unknown} value @param {number} max @returns {string} one line of text */
function cut(value, max) {
  const text = typeof value === "string" ? value.slice(0, max).replace(/[\s\p{Cc}]+/gu, " ").trim() : "";
  return /[^\s\p{Cf}]/u.test(text) ? text : ""; // there must be something to see
}

/** @param {Member | undefined} member @param {unknown} [said] by itself, if it is not here any more */
function nameOf(member, said) {
  return cut(member?.user, 30) || cut(member?.info?.name, 30) || cut(said, 30) || "Somebody";
}

/** A name has its colour. @param {HTMLElement} element @param {string} name */
function paint(element, name) {
  let hue = 0;
  for (const char of name) hue = (hue * 31 + char.charCodeAt(0) * 67) % 360;
  element.style.setProperty("--hue", String(hue));
}

/** @template {keyof HTMLElementTagNameMap} K @param {K} tag @param {string} name of its class @param {string} [text] */
function make(tag, name, text = "") {
  return Object.assign(document.createElement(tag), { className: name, textContent: text });
}

function showPeople() {
  const others = [...room.members.values()];
  page["people-count"].textContent = String(room.count + 1);
  const items = others.slice(0, PEOPLE_MAX).map((member) => person(nameOf(member)));
  if (room.count > items.length) items.push(make("li", "more", `and ${room.count - items.length} more`));
  page.people.replaceChildren(person(toldName, "you"), ...items);
}

/** @param {string} name @param {string} [remark] */
function person(name, remark) {
  const item = make("li", "");
  item.dataset.initial = [...name][0].toUpperCase();
  paint(item, name);
  item.append(make("bdi", "", name));
  if (remark) item.append(make("small", "", remark));
  return item;
}

// ---- the chat

/** @param {HTMLElement} line */
function addLine(line) {
  const { log } = page;
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  log.append(line);
  while (log.childElementCount > LINES_MAX) log.firstElementChild?.remove();
  if (isAtEnd) log.scrollTop = log.scrollHeight;
  return line;
}

/** @param {string} text @param {string} [kind] */
function addEvent(text, kind = "") {
  addLine(make("p", `event ${kind}`, text));
}

/** @param {string} name @param {string} text @param {unknown} ts @param {string} mark */
function addChat(name, text, ts, mark) {
  const who = make("bdi", "name", name);
  paint(who, name);
  const time = new Date(Number(ts)); // which may be no time at all
  const clock = time.getTime() ? time.toLocaleTimeString([], { timeStyle: "short" }) : "";
  const about = make("p", "about");
  about.append(who, make("time", "", clock), make("span", "mark", mark));
  const body = make("p", "text", text);
  body.dir = "auto";
  const line = make("div", "say");
  line.append(about, body);
  return addLine(line);
}

/** @param {Message} chat of somebody else, who may be a client without a session */
function hear(chat) {
  const session = chat.from?.session;
  if (ownSessions.includes(session)) return;
  const isMissed = chat.seq <= missedUpTo;
  if (isMissed) page.recovered.textContent = String(++recovered);
  const name = nameOf(room.members.get(session) ?? chat.from, chat.name);
  const text = typeof chat.msg === "string" ? chat.msg : JSON.stringify(chat.msg === undefined ? chat : chat.msg);
  addChat(name, text.slice(0, CHARS_MAX), chat.ts, isMissed ? "recovered" : "");
  hearTyping(session, false);
}

/** @param {string} msg */
function say(msg) {
  const line = addChat(toldName, msg, Date.now(), "");
  line.classList.add("own");
  page.log.scrollTop = page.log.scrollHeight;
  /** @param {string} state @param {string} text */
  const become = (state, text) => {
    line.dataset.state = state;
    line.querySelector(".mark")?.replaceChildren(text);
  };
  become("pending", "pending …");
  track(room.chat({ msg, name: toldName })).then(
    () => become("delivered", "✓ delivered"),
    ({ message }) => become("failed", `✗ not delivered: ${message}`),
  );
}

/** @param {Message} gap */
function showGap({ from_seq, to_seq, reason }) {
  const count = to_seq - from_seq + 1;
  const what = count === 1 ? "1 message is gone" : count > 1 ? `${count} messages are gone` : "Messages may be gone";
  addEvent(`${what}: ${GAP_REASONS[reason] ?? reason}`, "gap");
}

/** Who is typing, until when. @type {Map<string, number>} */
const typing = new Map();
let typingToldAt = 0;

/** @param {any} session @param {boolean} isTyping */
function hearTyping(session, isTyping) {
  if (isTyping && room.members.has(session)) typing.set(session, Date.now() + TYPING_MS);
  else if (!typing.delete(session)) return;
  showTyping();
}

function showTyping() {
  for (const [session, until] of typing) if (until < Date.now() || !room.members.has(session)) typing.delete(session);
  const names = [...typing.keys()].slice(0, 3).map((session) => nameOf(room.members.get(session)));
  const text = names.length === 0 ? "" : `${names.join(", ")} ${names.length === 1 ? "is" : "are"} typing …`;
  if (page.typing.textContent !== text) page.typing.textContent = text;
}

// ---- the board

/** Our changes that have not left yet; null deletes. @type {Map<string, Partial<Note> | null>} */
const edits = new Map();
/** @type {Map<string, NoteView>} */
const views = new Map();
let [isSending, isDrawing] = [false, false];
/** The note that gets the focus when it is there, unless something else has it by then. */
let focusId = "";

/** @param {unknown} value @returns {number} */
function place(value) {
  return typeof value === "number" ? Math.min(PLACES, Math.max(0, Math.round(value))) : 0;
}

/** @param {any} value @returns {Note | undefined} if it is one at all */
function asNote(value) {
  if (typeof value?.text !== "string") return undefined;
  const color = COLORS.includes(value.color) ? value.color : COLORS[0];
  return { text: value.text.slice(0, 280), color, x: place(value.x), y: place(value.y), by: cut(value.by, 30) };
}

/** @param {Message} state @returns {Map<string, Note>} */
function notesOf(state) {
  const notes = new Map();
  for (const [id, value] of Object.entries(state.notes ?? {})) {
    const note = asNote(value);
    if (note && notes.size < NOTES_MAX) notes.set(id, note);
  }
  return notes;
}

/** The notes as we see them, our own changes included. */
function currentNotes() {
  const notes = notesOf(room.state);
  for (const [id, change] of edits) {
    const note = notes.get(id);
    if (note && change) notes.set(id, { ...note, ...change });
    else notes.delete(id);
  }
  return notes;
}

/** @param {string} id @param {Partial<Note> | null} change */
function edit(id, change) {
  edits.set(id, change && { ...edits.get(id), ...change, by: toldName });
  drawSoon();
}

/** All that happens until the next frame is drawn, and sent, at once. */
function drawSoon() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    if (room.version === undefined) return; // what the board shows is the best that is known
    draw();
    sendEdits();
  });
}

/** What changed goes as one patch, and the next one after its ack: a slow or lost line gathers no heap of them. */
function sendEdits() {
  if (isSending || edits.size === 0) return;
  const [before, after] = [notesOf(room.state), currentNotes()];
  const patch = /** @type {Message} */ ({});
  for (const id of edits.keys()) {
    // Somebody may have deleted it: then there is nothing to change.
    if (before.has(id)) patch[id] = after.has(id) ? diff(before.get(id), after.get(id)) : null;
  }
  edits.clear();
  if (Object.values(patch).every((change) => change === undefined)) return;
  isSending = true;
  changeBoard(room.update({ notes: patch })).finally(() => {
    isSending = false;
    drawSoon();
  });
}

/** @param {Promise<any>} answer */
function changeBoard(answer) {
  return track(answer).catch(({ message }) => addEvent(`The board was not changed: ${message}`));
}

/** Where the other notes are not. @param {string} color */
function addNote(color) {
  const id = (focusId = Math.random().toString(36).slice(2, 12));
  const others = [...currentNotes().values()];
  if (others.length >= NOTES_MAX) return;
  const places = Array.from({ length: 20 }, () => [Math.random(), Math.random()].map((at) => place(at * 0.8 * PLACES)));
  const distance = (/** @type {number[]} */ [x, y]) => Math.min(PLACES, ...others.map((note) => Math.hypot(note.x - x, note.y - y)));
  const [x, y] = places.reduce((best, other) => (distance(other) > distance(best) ? other : best));
  changeBoard(room.update({ notes: { [id]: { text: "", color, x, y, by: toldName } } }));
}

/** So that there is something to drag: in a room that nobody has written in yet. */
function putFirstNotes() {
  const by = "frameloop";
  const notes = {
    drag: { text: "Drag me: I move in the other tab too.", color: "yellow", x: 120, y: 150, by },
    write: { text: "Write in me: the other tab reads along.", color: "blue", x: 620, y: 560, by },
  };
  track(room.change((state) => ({ notes, ...state }))).catch(() => {});
}

function draw() {
  const notes = currentNotes();
  const isFull = notes.size >= NOTES_MAX;
  for (const button of addButtons) Object.assign(button, { disabled: isFull, title: isFull ? "The board is full" : "" });
  for (const [id, { item }] of views) {
    if (notes.has(id)) continue;
    if (item.contains(document.activeElement)) addButtons[0].focus();
    item.remove();
    views.delete(id);
  }
  for (const [id, note] of notes) {
    const view = views.get(id) ?? makeNote(id);
    view.item.dataset.color = note.color;
    view.item.style.setProperty("--x", String(note.x / PLACES));
    view.item.style.setProperty("--y", String(note.y / PLACES));
    view.grip.setAttribute("aria-label", `Move note: ${cut(note.text, 40) || "empty"}`);
    view.by.textContent = note.by;
    if (view.text.value !== note.text) {
      const { selectionStart, selectionEnd } = view.text;
      view.text.value = note.text;
      view.text.setSelectionRange(selectionStart, selectionEnd);
    }
    if (id === focusId && document.activeElement?.matches("body, .colors button")) view.text.focus();
    if (id === focusId) focusId = "";
  }
}

/** @param {string} id @returns {NoteView} */
function makeNote(id) {
  const item = /** @type {HTMLElement} */ (page.note.content.firstElementChild?.cloneNode(true));
  /** @param {string} selector @returns {any} */
  const part = (selector) => item.querySelector(selector);
  const view = { item, grip: part(".grip"), text: part("textarea"), by: part("small") };
  view.text.addEventListener("input", () => edit(id, { text: view.text.value }));
  part(".delete").addEventListener("click", () => edit(id, null));
  makeMovable(id, view);
  views.set(id, view);
  page.board.append(item);
  return view;
}

/** By a pointer, and by keys. @param {string} id @param {NoteView} view */
function makeMovable(id, { item, grip }) {
  let [heldX, heldY] = [0, 0]; // where the pointer holds the note
  grip.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    grip.setPointerCapture(event.pointerId);
    [heldX, heldY] = [event.clientX - item.offsetLeft, event.clientY - item.offsetTop];
  });
  grip.addEventListener("pointermove", (event) => {
    if (!grip.hasPointerCapture(event.pointerId)) return;
    const { clientWidth, clientHeight } = page.board;
    edit(id, {
      x: place(((event.clientX - heldX) / Math.max(1, clientWidth - item.offsetWidth)) * PLACES),
      y: place(((event.clientY - heldY) / Math.max(1, clientHeight - item.offsetHeight)) * PLACES),
    });
  });
  grip.addEventListener("keydown", (event) => {
    const note = currentNotes().get(id);
    const step = event.shiftKey ? 100 : 20;
    const [right, down] = ARROWS[event.key] ?? [0, 0];
    if (!note || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Delete") edit(id, null);
    else if (right || down) edit(id, { x: place(note.x + step * right), y: place(note.y + step * down) });
    else return;
    event.preventDefault(); // the page would scroll
  });
}

// ---- the page

page.drop.addEventListener("click", dropLine);
page.reconnect.addEventListener("click", () => client.reconnect());
page.plug.addEventListener("click", () => {
  isPlugged = !isPlugged;
  page.plug.textContent = isPlugged ? "Pull the plug" : "Plug it in again";
  page.plug.dataset.pulled = String(!isPlugged);
  if (isPlugged) client.reconnect();
  else dropLine();
});
page.name.addEventListener("change", rename);
page["chat-form"].addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  const msg = page.message.value.trim();
  if (msg) say(msg);
  page.message.value = "";
  typingToldAt = 0;
});
page["token-form"].addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  sessionStorage.setItem("frameloop-token", page.token.value.trim());
  page.token.value = "";
  start();
});
page.message.addEventListener("input", () => {
  if (Date.now() - typingToldAt < TYPING_MS / 2) return;
  typingToldAt = Date.now();
  room.signal({ typing: true });
});
for (const button of addButtons) button.addEventListener("click", () => addNote(button.dataset.color ?? ""));

// Who reads the end of the chat goes on doing so when the page changes its size.
let isAtEnd = true;
page.log.addEventListener("scroll", () => {
  isAtEnd = page.log.scrollHeight - page.log.scrollTop - page.log.clientHeight < 60;
});
new ResizeObserver(() => {
  if (isAtEnd) page.log.scrollTop = page.log.scrollHeight;
}).observe(page.log);

setInterval(showStatus, 500);
setInterval(showTyping, 500);
setInterval(() => document.hidden || client.ping(), PING_MS);
// A page that is left for good says so; one that is put aside may come back to its session.
addEventListener("pagehide", ({ persisted }) => persisted || client.close());

page.room.textContent = roomName;
document.title = `frameloop: ${roomName}`;
page["other-tab"].href = location.href;
page.name.value = cut(sessionStorage.getItem("frameloop-name"), 30) || guestName();
sessionStorage.setItem("frameloop-name", page.name.value);
start();
