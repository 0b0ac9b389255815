/**
 * frameloop.js: the client of a frameloop server's sessions, for browsers and Node.
 *
 *     import { connect } from "./frameloop.js";
 *
 *     const client = connect("wss://example.com/", { token: () => fetchToken(), rooms: {} });
 *     client.on("status", ({ state, retryAt }) => showStatus(state, retryAt));
 *     client.on("gap", (gap, room) => showHole(room.name, gap.reason));
 *
 *     const docs = await client.join("docs", { presence: true, state: true, last: 20 });
 *     docs.on("chat", (chat) => showLine(chat.from.session, chat.msg));
 *     const { seq } = await docs.chat({ msg: "hi" }); // resolved by the ack, even after a lost line
 *     await docs.set({ ...docs.state, title: "Plan" }); // only what changed travels
 *     await docs.change((state) => { state.count = (state.count ?? 0) + 1; }); // compare-and-set
 *     client.close();
 *
 * A lost line comes back by itself and misses nothing, or says what is missing (`gap`). Requests
 * over the server's rate wait and go again, in order but for what was on its way. Rooms that are forbidden leave
 * `client.rooms`, with an `error`.
 */

/**
 * @typedef {Record<string, any>} Message a JSON object
 * @typedef {{ session: string, user?: string, info?: any }} Member
 *
 * @typedef {object} JoinOptions
 * @property {boolean} [presence] whether to be told who is there
 * @property {boolean} [state] whether to follow the shared state
 * @property {number} [last] so many of the latest chats come at the first join
 * @property {{ epoch: string, seq: number }} [since] or all chats after a position of an earlier visit
 *
 * @typedef {object} Options the numbers are in `DEFAULTS`
 * @property {string | (() => string | Promise<string>)} [token] a function is called before each connection
 * @property {any} [info] what other members see of this one
 * @property {Record<string, JoinOptions>} [rooms] to join at once; without it `lobby`
 * @property {number} [buffer] requests that may wait for their ack
 * @property {number} [batchMs] time to collect messages; without it an animation frame, or in Node one turn
 * @property {number} [baseMs] the longest first wait for a reconnect; doubles with each attempt
 * @property {number} [maxMs] up to this
 * @property {number} [attempts] reconnects in a row before giving up
 * @property {number} [connectMs] time for a connection, up to its welcome
 * @property {number} [changes] attempts of one `change`
 * @property {() => number} [random] for tests
 * @property {new (url: string, protocols: string[]) => any} [WebSocket] for Node before 22: that of `ws`
 *
 * @typedef {Options & typeof DEFAULTS & { url: string }} Settings
 *
 * @typedef {object} Status
 * @property {"connecting" | "open" | "waiting" | "offline" | "stopped"} state `offline`: gave up until the page is seen
 *   or the network is back; `stopped` for good
 * @property {number} attempt reconnects since the last welcome
 * @property {number} [retryAt] when the next one starts, as of `Date.now()`
 * @property {number} [code] the close code of the last connection
 * @property {string} [reason] and its reason
 * @property {number} [latency] of the last ping, in milliseconds
 *
 * @typedef {{
 *   status: [status: Status],
 *   welcome: [welcome: Message],
 *   error: [error: FrameloopError, room?: Room],
 *   chat: [chat: Message, room: Room],
 *   signal: [signal: Message, room: Room],
 *   join: [member: Member, room: Room],
 *   leave: [member: Member, room: Room],
 *   presence: [count: number, room: Room],
 *   state: [state: Message, room: Room],
 *   gap: [gap: Message, room: Room],
 *   recovered: [position: { epoch: string, seq: number }, room: Room],
 * }} Events
 */

/** `code` is one of the protocol's, or `buffer_full`, `stopped`, `closed`, `token`. */
export class FrameloopError extends Error {
  name = "FrameloopError";

  /** @param {string} code @param {string} [message] @param {Message} [details] all that the server said of it */
  constructor(code, message = code, details = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/**
 * Opens a connection, and keeps it open until `close`.
 *
 * @param {string} url such as `wss://example.com/`
 * @param {Options} [options]
 */
export function connect(url, options = {}) {
  return new Client({ ...DEFAULTS, ...options, url });
}

/**
 * The RFC 7396 merge patch that turns `before` into `after`, both JSON values; undefined if nothing changed. It
 * replaces arrays whole. For a null that would be stored, but in an array, `diff` throws an Error that names the path.
 *
 * @param {any} before
 * @param {any} after
 * @returns {any}
 */
export function diff(before, after) {
  return diffAt("", before, after);
}

/**
 * `target` with an RFC 7396 merge patch applied. `target` itself stays as it is.
 *
 * @param {any} target
 * @param {any} patch
 * @returns {any}
 */
export function apply(target, patch) {
  if (!isObject(patch)) return patch;
  // A Map, since an assignment to "__proto__" makes no member.
  const members = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) members.delete(name);
    else members.set(name, apply(members.get(name), change));
  }
  return Object.fromEntries(members);
}

/** @param {string} path @param {any} before @param {any} after @returns {any} */
function diffAt(path, before, after) {
  if (after === null) throw new Error(`a merge patch cannot store null, at ${path || "the top"}`);
  if (!isObject(after)) return JSON.stringify(before) === JSON.stringify(after) ? undefined : after;
  const old = new Map(isObject(before) ? Object.entries(before) : []);
  const patch = new Map();
  for (const [name, member] of Object.entries(after)) {
    if (member === undefined) continue;
    const change = diffAt(`${path}/${name}`, old.get(name), member);
    if (change !== undefined) patch.set(name, change);
    old.delete(name);
  }
  for (const name of old.keys()) patch.set(name, null);
  return patch.size === 0 && isObject(before) ? undefined : Object.fromEntries(patch);
}

class Listeners {
  /** @type {Map<string, Set<(...values: any[]) => void>>} */
  #listeners = new Map();

  /**
   * Calls the function at each event.
   *
   * @template {keyof Events} E
   * @param {E} event
   * @param {(...values: Events[E]) => void} listener
   * @returns {() => void} removes it
   */
  on(event, listener) {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  /** @template {keyof Events} E @param {E} event @param {Events[E]} values */
  _emit(event, ...values) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        listener(...values);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

/** One connection, and always the next one. */
class Line {
  /** @type {Status} */
  status = { state: "connecting", attempt: 0 };
  #options;
  #hooks;
  #WebSocket;
  /** @type {WebSocket | undefined} */
  #socket;
  /** @type {object | undefined} the attempt that counts */
  #current;
  /** @type {any} */
  #timer;
  /** The server's `disconnect`. @type {Message | undefined} */
  farewell;
  #heard = false;
  /** @type {unknown[]} */
  #unread = [];
  /** @type {object | undefined} */
  #held;
  #pingedAt = 0;
  #intervalMs = 0;
  #listening = new AbortController();

  /**
   * @param {Settings} options
   * @param {{ status: () => void, opened: (token?: string) => void, message: (message: Message) => void,
   *   lost: () => void, stopped: () => void, tooLarge: () => void, error: (error: FrameloopError) => void }} hooks
   */
  constructor(options, hooks) {
    this.#options = options;
    this.#hooks = hooks;
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!this.#WebSocket) throw new Error("there is no WebSocket here: see options.WebSocket");
    const { signal } = this.#listening;
    globalThis.addEventListener?.("online", () => this.wake(), { signal });
    globalThis.addEventListener?.("pageshow", () => this.wake(), { signal });
    globalThis.document?.addEventListener("visibilitychange", () => document.hidden || this.wake(), { signal });
  }

  /** Connects anew, whatever there was. */
  async open(attempt = this.status.attempt) {
    this.#drop();
    const current = (this.#current = {});
    this.farewell = undefined;
    this.#after(this.#options.connectMs, () => this.#lost(1006, "no welcome in time"));
    this.#become({ ...this.status, state: "connecting", attempt, retryAt: undefined });
    try {
      const token = await this.token();
      if (current === this.#current) this.#connect(token);
    } catch (error) {
      if (current !== this.#current) return;
      this.#hooks.error(new FrameloopError("token", `no token: ${error}`));
      this.#lost(1006, "no token");
    }
  }

  async token() {
    const { token } = this.#options;
    return typeof token === "function" ? token() : token;
  }

  /** @param {string} text JSON */
  send(text) {
    this.#socket?.send(text);
  }

  get unsent() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** @param {Message} welcome */
  welcomed({ heartbeat }) {
    if (!this.#socket) return;
    this.#intervalMs = 1000 * Math.max(1, heartbeat?.interval_s || 30);
    this.#watch();
    this.#become({ state: "open", attempt: 0, latency: this.status.latency });
  }

  /** Asks whether the other side is there. */
  ping() {
    if (this.status.state !== "open") return;
    const { unsent } = this;
    this.#heard = false;
    this.#pingedAt = Date.now();
    this.send('{"type":"ping","id":"ping"}');
    this.#after(Math.min(this.#intervalMs, PONG_MS), () => {
      // The answer may wait behind an upload.
      if (this.#heard || this.unsent < unsent) this.#watch();
      else this.#lost(4201, "heartbeat_timeout");
    });
  }

  pong() {
    this.#watch();
    this.#become({ ...this.status, latency: Date.now() - this.#pingedAt });
  }

  wake() {
    const { state } = this.status;
    if (state === "open") this.ping();
    if (state === "offline") this.open(0);
    // By its times the server spreads its clients.
    if (state === "waiting" && this.farewell?.after_ms === undefined) this.open();
  }

  close() {
    this.#listening.abort();
    this.#drop(1000, "normal");
    this.#become({ state: "stopped", attempt: 0, code: 1000, reason: "normal" });
  }

  /** @param {string | undefined} token */
  #connect(token) {
    /** @type {WebSocket} */
    let socket;
    try {
      socket = new this.#WebSocket(this.#options.url, ["frameloop.v1"]);
    } catch (error) {
      return this.stop(1006, String(error));
    }
    this.#socket = socket;
    socket.onopen = () => socket === this.#socket && this.#hooks.opened(token);
    socket.onmessage = ({ data }) => socket === this.#socket && this.#read(data);
    socket.onclose = ({ code, reason }) => {
      while (socket === this.#socket && this.#unread.length > 0) this.#go();
      if (socket === this.#socket) this.#lost(code, reason);
    };
    socket.onerror = () => {}; // a close follows
  }

  /** @param {unknown} data a message or an array of them */
  #read(data) {
    this.#heard = true;
    /** @type {unknown[]} */
    let messages;
    try {
      messages = [JSON.parse(String(data))].flat();
    } catch {
      return this.#hooks.error(new FrameloopError("invalid_json"));
    }
    this.#unread.push(...messages);
    if (!this.#held) this.#go();
  }

  /** Waits for who awaits it, and then listens. @param {Promise<any>} promise */
  async hold(promise) {
    const held = (this.#held = {});
    await promise.catch(() => {});
    for (let turns = 0; turns < HOLD_TURNS; turns++) await undefined;
    if (held === this.#held) this.#go();
  }

  #go() {
    this.#held = undefined;
    while (!this.#held && this.#unread.length > 0) {
      const message = this.#unread.shift();
      if (isObject(message)) this.#hooks.message(message);
    }
  }

  /** @param {number} closeCode @param {string} closeReason */
  #lost(closeCode, closeReason) {
    const { code = closeCode, reason = closeReason, reconnect, after_ms } = this.farewell ?? {};
    if (code === 1009) this.#hooks.tooLarge();
    this.#drop();
    const next = reconnect === false ? "stop" : afterClose(code);
    if (next === "stop") return this.stop(code, reason);
    const attempt = this.status.attempt + 1;
    if (attempt > this.#options.attempts) {
      return this.#become({ ...this.status, state: "offline", code, reason, retryAt: undefined });
    }
    const { random, baseMs, maxMs } = this.#options;
    let wait = random() * Math.min(maxMs, baseMs * 2 ** (attempt - 1));
    // Once, not in a circle.
    if (next === "return" && attempt === 1) wait = 0;
    if (after_ms !== undefined) wait = Math.min(after_ms, WAIT_MS_MAX);
    this.#after(wait, () => this.open());
    this.#become({ ...this.status, state: "waiting", attempt, code, reason, retryAt: Date.now() + wait });
  }

  /** @param {number} code @param {string} reason */
  stop(code, reason) {
    this.#drop();
    this.#become({ state: "stopped", attempt: this.status.attempt, code, reason });
    this.#hooks.stopped();
  }

  /** Forgets the connection. 1000 would end the session, so that nothing could be resumed. */
  #drop(code = 4201, reason = "dropped") {
    const socket = this.#socket;
    clearTimeout(this.#timer);
    this.#socket = this.#current = this.#held = undefined;
    this.#unread = [];
    if (!socket) return;
    if (socket.readyState < 2) socket.close(code, reason);
    this.#hooks.lost();
  }

  /** Something must come in each interval. */
  #watch() {
    this.#heard = false;
    this.#after(this.#intervalMs, () => (this.#heard ? this.#watch() : this.ping()));
  }

  /** @param {number} ms @param {() => void} then */
  #after(ms, then) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  /** @param {Status} status */
  #become(status) {
    this.status = status;
    this.#hooks.status();
  }
}

/**
 * `text` is its JSON; `sent` is on this connection.
 *
 * @typedef {{ id: string, type: string, room?: Room, text: string, bytes: number, sent: boolean, retried?: boolean,
 *   answered: Promise<any>, resolve: (answer: any) => void, reject: (error: Error) => void }} Request
 */

/** What has no ack yet: nothing is lost with a connection, and what is sent again keeps its id. */
class Outbox {
  limits = { message_bytes: 1_048_576, batch: 100 };
  /** @type {Map<string, Request>} */
  #requests = new Map();
  #prefix = Math.random().toString(36).slice(2, 12);
  #count = 0;
  #options;
  #hooks;
  /** Why nothing is taken any more. @type {string | undefined} */
  ended;
  #due = false;
  /** @type {any} */
  #timer;
  /** After `rate_limited`, until nothing waits: one at a time, and so far apart. */
  paceMs = 0;
  #nextAt = 0;

  /**
   * @param {Settings} options
   * @param {{ isOpen: () => boolean, send: (text: string) => void,
   *   joined: (joined: Promise<any>) => void, failed: (error: FrameloopError, room?: Room) => void }} hooks
   */
  constructor(options, hooks) {
    this.#options = options;
    this.#hooks = hooks;
  }

  /** An id that no other request has. */
  id() {
    return `${this.#prefix}-${++this.#count}`;
  }

  /** @param {string} type @param {Message} members @param {Room} [room] @returns {Request} */
  add(type, members, room) {
    const id = this.id();
    const refusal = this.ended ?? (this.#requests.size < this.#options.buffer ? undefined : "buffer_full");
    const text = JSON.stringify({ ...members, type, id: type === "signal" ? undefined : id, room: room?.name });
    const bytes = new TextEncoder().encode(text).length;
    /** @type {any} */
    const request = { id, type, room, text, bytes, sent: false };
    request.answered = quiet(new Promise((resolve, reject) => Object.assign(request, { resolve, reject })));
    this.#requests.set(id, request);
    if (refusal) this.refuse(id, new FrameloopError(refusal));
    else this.#schedule();
    return request;
  }

  /** Whether a request still waits. @param {string} id */
  has(id) {
    return this.#requests.has(id);
  }

  /** @param {string} id @param {Message} ack */
  acknowledge(id, ack) {
    const request = this.#take(id);
    if (request?.type === "join" && request.room) this.#hooks.joined(request.room._joined);
    request?.room?._acked(request, ack);
    request?.resolve(ack);
  }

  /** @param {string} id @param {FrameloopError} error @returns {void} */
  refuse(id, error) {
    const { retry_after_ms } = error.details;
    const request = this.#requests.get(id);
    if (request && retry_after_ms) {
      request.sent = false;
      const ms = Math.min(retry_after_ms, WAIT_MS_MAX);
      this.paceMs ||= ms;
      this.#nextAt = Date.now() + ms;
      return this.flush();
    }
    this.#take(id);
    request?.room?._refused(request, error.code);
    request?.reject(error);
    if (!request?.retried || error.code !== "version_conflict") this.#hooks.failed(error, request?.room);
  }

  /** Refuses all that waits and that comes. @param {string} code @param {string} [message] */
  end(code, message = code) {
    this.ended = code;
    for (const id of [...this.#requests.keys()]) this.refuse(id, new FrameloopError(code, message));
    this.#unschedule();
  }

  /** The server takes no message so long. */
  refuseLargest() {
    const [largest] = this.filter((request) => request.sent).sort((one, other) => other.bytes - one.bytes);
    if (largest) this.refuse(largest.id, new FrameloopError("message_too_large"));
  }

  /** @param {(request: Request) => boolean} which @returns {Request[]} */
  filter(which) {
    return [...this.#requests.values()].filter(which);
  }

  flush() {
    this.#unschedule();
    if (!this.#hooks.isOpen()) return;
    const ready = this.filter((request) => !request.sent && !request.room?._holds(request));
    if (this.paceMs) {
      const wait = this.#nextAt - Date.now();
      if (wait > 0) return this.#schedule(wait);
      if (this.filter(({ sent }) => sent).length > 0) return;
      this.#nextAt = Date.now() + this.paceMs;
      ready.splice(1);
    }
    for (const batch of batches(ready, this.limits)) {
      if (batch[0].bytes > this.limits.message_bytes) {
        this.refuse(batch[0].id, new FrameloopError("message_too_large"));
        continue;
      }
      const texts = batch.map((request) => request.text);
      this.#hooks.send(texts.length === 1 ? texts[0] : `[${texts.join()}]`);
      for (const request of batch) {
        request.sent = true;
        if (request.type === "signal") this.#take(request.id);
      }
    }
  }

  /** All but signals is sent again on the next connection. */
  lost() {
    for (const request of this.#requests.values()) {
      request.sent = false;
      if (request.type === "signal") this.#take(request.id);
    }
  }

  /** @param {string} id */
  #take(id) {
    const request = this.#requests.get(id);
    this.#requests.delete(id);
    if (this.#requests.size === 0) this.paceMs = 0;
    if (this.paceMs) this.#schedule();
    return request;
  }

  /** Sends soon, together with what comes until then. @param {number} [ms] */
  #schedule(ms = this.#options.batchMs) {
    if (this.#due) return;
    this.#due = true;
    const flush = () => this.flush();
    const inFrame = ms === undefined && typeof requestAnimationFrame === "function";
    if (inFrame) requestAnimationFrame(flush);
    if (inFrame || ms !== undefined) this.#timer = setTimeout(flush, ms ?? FRAME_MS_MAX);
    else queueMicrotask(flush);
  }

  #unschedule() {
    clearTimeout(this.#timer);
    this.#due = false;
  }
}

/**
 * The state of a room: what the server has, and on top of it our own patches that are on their way, applied again
 * after each of the server's.
 */
class SharedState {
  /** What the application sees. @type {Message} */
  value = {};
  /** Of the server's part; undefined until it is known. @type {number | undefined} */
  version;
  #server = {};
  /** The server announced it: up to it come patches, perhaps our own. */
  #announced = 0;
  /** @type {Map<string, { patch: any, based: boolean, version?: number }>} by id, in order */
  #own = new Map();

  /** Whether patches that were missed are still to come. */
  get behind() {
    return this.version === undefined || this.version < this.#announced;
  }

  /** @param {string} id @param {any} patch @param {boolean} based whether it is a compare-and-set */
  add(id, patch, based) {
    patch = JSON.parse(JSON.stringify(patch));
    this.#own.set(id, { patch, based });
    this.value = apply(this.value, patch);
  }

  /** A welcome or the ack of a join. @param {number} version @param {any} state only if it is sent whole */
  enter(version, state) {
    if (state !== undefined || version === 0) return this.replace(version, state ?? {});
    if (this.version !== undefined && version < this.version) this.forget();
    this.#announced = version;
  }

  /** Returns the ids of own patches that were based on the server's part. */
  forget() {
    this.version = undefined;
    return [...this.#own].filter(([, own]) => own.based).map(([id]) => id);
  }

  /** The server sends the state whole. @param {number} version @param {any} state */
  replace(version, state) {
    this.#server = state;
    this.version = this.#announced = version;
    for (const [id, own] of this.#own) if (own.version !== undefined) this.#own.delete(id);
    this.#show();
  }

  /** The server sends a patch. @param {number} version @param {any} patch @returns {boolean} false after a hole */
  patched(version, patch) {
    if (this.version === undefined || version > this.version + 1) return false;
    if (version === this.version + 1) {
      this.#server = apply(this.#server, patch);
      this.version = version;
      this.#settle();
    }
    return true;
  }

  /** The server took an own patch; it is not sent back. @param {string} id @param {number} version */
  acked(id, version) {
    const own = this.#own.get(id);
    const [first] = this.#own.keys();
    const isNext = id === first && version - 1 === this.version;
    if (own) own.version = version;
    if (this.version === undefined) this.#own.delete(id);
    this.#settle(isNext);
  }

  /** @param {string} id */
  refused(id) {
    if (this.#own.delete(id)) this.#show();
  }

  /** @param {any} patch @returns {string | undefined} the id of an own one like it without its ack */
  find(patch) {
    for (const [id, own] of this.#own) {
      if (own.version === undefined && JSON.stringify(own.patch) === JSON.stringify(patch)) return id;
    }
  }

  /** Own patches with a version become the server's part in their turn. @param {boolean} [isShown] */
  #settle(isShown) {
    for (const [id, own] of this.#own) {
      if (own.version === undefined || this.version === undefined) continue;
      if (own.version === this.version + 1) {
        this.#server = apply(this.#server, own.patch);
        this.version = own.version;
      }
      if (own.version <= this.version) this.#own.delete(id);
    }
    if (!isShown) this.#show();
  }

  #show() {
    this.value = this.#server;
    for (const { patch } of this.#own.values()) this.value = apply(this.value, patch);
  }
}

/** A room that this client is in. */
class Room extends Listeners {
  name;
  /** Who else is there, by session, with `presence`. @type {Map<string, Member>} */
  members = new Map();
  /** Where we are in the room's log of chats. @type {string | undefined} */
  epoch;
  seq = 0;
  /** @type {JoinOptions} */
  _options = {};
  _joined = Promise.resolve(this);
  /** Whether the server said in this connection that we are in. */
  _entered = false;
  #client;
  #outbox;
  #shared = new SharedState();
  /** @type {number | undefined} in a large room */
  #count;
  /** @type {Promise<any> | undefined} */
  #syncing;

  /** @param {string} name @param {Client} client */
  constructor(name, client) {
    super();
    this.name = name;
    this.#client = client;
    this.#outbox = client._outbox;
  }

  /** How many others are there: in a large room all that is known. */
  get count() {
    return this.#count ?? this.members.size;
  }

  /** The shared state with our own changes, to be read only. */
  get state() {
    return this.#shared.value;
  }

  /** Patches that the server has taken, as far as we know. */
  get version() {
    return this.#shared.version;
  }

  /** Leaves the room. */
  leave() {
    return this.#client._leave(this);
  }

  /**
   * Says something to all others; resolved when the server has it.
   *
   * @param {Message} members such as `{ msg: "hi" }`
   * @returns {Promise<{ seq: number, epoch: string, duplicate?: boolean }>}
   */
  chat(members) {
    if (!isObject(members)) throw new TypeError("a chat is an object");
    return this.#outbox.add("chat", members, this).answered;
  }

  /** Tells the others what is not kept: it goes now or never. @param {any} data */
  signal(data) {
    this.#client._signal(this, data);
  }

  /**
   * Changes the shared state by an RFC 7396 merge patch: null removes a member. The last writer wins.
   *
   * @param {Message} patch
   * @returns {Promise<{ version: number }>}
   */
  update(patch) {
    if (!isObject(patch)) throw new TypeError("a patch is an object");
    return this.#patch(patch);
  }

  /**
   * Changes the shared state to this: what differs is sent (see `diff` for what cannot be).
   *
   * @param {Message} state
   * @returns {Promise<{ version: number | undefined }>}
   */
  set(state) {
    if (this.version === undefined) return quiet(this.#known().then(() => this.set(state)));
    const patch = diff(this.state, plainObject(state));
    return patch === undefined ? Promise.resolve({ version: this.version }) : this.#patch(patch);
  }

  /**
   * Compare-and-set: the function changes its copy of the state, or returns another. If another client was faster, it
   * is called again.
   *
   * @param {(state: Message) => Message | void} edit
   * @returns {Promise<{ version: number | undefined }>}
   */
  change(edit) {
    return quiet(this.#change(edit));
  }

  /** What to say in a hello or a join. */
  _asks() {
    const { presence, state, last } = this._options;
    if (this.epoch === undefined) return { presence, state, last };
    return { presence, state, since: { epoch: this.epoch, seq: this.seq, version: state ? this.version : undefined } };
  }

  /** Whether it must wait: what is still to come shows which patches the server has. @param {Request} request */
  _holds(request) {
    return request.type === "patch" && this._entered && this._options.state === true && this.#shared.behind;
  }

  /** The server let us in: a part of a welcome, or the ack of a join. @param {Message} info */
  _enter(info) {
    const first = this.epoch === undefined;
    this._entered = true;
    if (info.epoch !== this.epoch) {
      if (!first) this.#startOver();
        // The old position counts until the gap.
      if (info.recovered !== false) {
        this.epoch = info.epoch;
        this.seq = first ? Math.max(0, info.seq - (this._options.last ?? 0)) : 0;
      }
    }
    if (this._options.state && info.version !== undefined) {
      this.#shared.enter(info.version, info.state);
      this.#tell("state", this.state);
      this.#outbox.flush();
    }
    if (info.members || info.count !== undefined) this.#meet(info);
    if (info.recovered) this.#tell("recovered", { epoch: info.epoch, seq: info.seq });
  }

  /** @param {Message} message something that happened in the room */
  _receive(message) {
    if (!this._entered) return;
    if (message.type === "chat") this.#hear(message);
    else if (message.type === "signal") this.#tell("signal", message);
    else if (message.type === "presence") this.#meet(message);
    else if (message.type === "gap") this.#miss(message);
    else if (message.type === "state" || message.type === "patch") this.#follow(message);
  }

  /** @param {Request} request @param {Message} ack */
  _acked(request, ack) {
    if (request.type === "join") this._enter(ack);
    if (request.type === "patch") {
      this.#shared.acked(request.id, ack.version);
      this.#tell("state", this.state);
    }
    // Before a later one others' chats are still to come.
    if (request.type === "chat" && ack.epoch === this.epoch && ack.seq === this.seq + 1) this.seq = ack.seq;
  }

  /** @param {Request} request @param {string} code */
  _refused(request, code) {
    if (request.type === "join" && (!this._entered || code === "forbidden")) this.#client._forget(this);
    if (request.type !== "patch") return;
    this.#shared.refused(request.id);
    this.#tell("state", this.state);
  }

  /** @param {keyof Events} event @param {any} value */
  #tell(event, value) {
    this._emit(event, value, this);
    this.#client._emit(event, value, this);
  }

  /** @param {any} patch @param {number} [base] @param {boolean} [retried] @returns {Promise<{ version: number }>} */
  #patch(patch, base, retried) {
    const request = this.#outbox.add("patch", { patch, base }, this);
    request.retried = retried;
    if (this.#outbox.has(request.id)) {
      this.#shared.add(request.id, patch, base !== undefined);
      this.#tell("state", this.state);
    }
    return request.answered;
  }

  /** @param {(state: Message) => Message | void} edit */
  async #change(edit) {
    const isPatch = (/** @type {Request} */ { type, room }) => type === "patch" && room === this;
    for (let left = this.#client._options.changes; ; left--) {
      await this.#known();
      // Our patches that are on their way would make the base wrong.
      for (let last; (last = this.#outbox.filter(isPatch).pop()); ) await last.answered.catch(() => {});
      const copy = structuredClone(this.state);
      const patch = diff(this.state, plainObject(edit(copy) ?? copy));
      if (patch === undefined) return { version: this.version };
      try {
        return await this.#patch(patch, this.version, left > 1);
      } catch (/** @type {any} */ error) {
        if (error.code !== "version_conflict" || left <= 1) throw error;
        if ((this.version ?? -1) < error.details.version) await this._sync();
      }
    }
  }

  async #known() {
    if (!this._options.state) throw new Error("join the room with { state: true }");
    if (this.epoch === undefined) await this._joined;
    for (let tries = 0; this.version === undefined; tries++) {
      if (tries === 3) throw new Error("the server does not send the state");
      await this._sync();
    }
  }

  /** Asks for the whole state. @returns {Promise<any>} */
  _sync() {
    if (!this.#syncing) {
      const request = this.#outbox.add("join", { ...this._asks(), since: undefined }, this);
      this.#syncing = quiet(request.answered.finally(() => (this.#syncing = undefined)));
    }
    return this.#syncing;
  }

  /** Another epoch: the log was lost. */
  #startOver() {
    for (const id of this.#shared.forget()) {
      this.#outbox.refuse(id, new FrameloopError("version_conflict", "the state was lost"));
    }
  }

  /** @param {Message} chat */
  #hear(chat) {
    if (chat.epoch !== undefined && chat.epoch !== this.epoch) {
      this.epoch = chat.epoch;
      this.seq = 0;
    }
    if (chat.seq <= this.seq) return;
    this.seq = chat.seq;
    if (this.#client._owns(chat.from?.session)) return; // its ack was lost with the line
    this.#tell("chat", chat);
  }

  /** @param {Message} gap chats that are gone */
  #miss(gap) {
    this.seq = gap.to_seq === undefined ? 0 : Math.max(gap.to_seq, gap.epoch === this.epoch ? this.seq : 0);
    this.epoch = gap.epoch ?? this.epoch;
    this.#tell("gap", gap);
  }

  /** @param {Message} message the whole state or somebody's patch; after a lost ack our own */
  #follow({ type, version, state, patch, from }) {
    const { behind } = this.#shared;
    const own = type === "patch" && this.#client._owns(from?.session) ? this.#shared.find(patch) : undefined;
    if (type === "state") this.#shared.replace(version, state);
    else if (own && version > (this.version ?? version)) this.#outbox.acknowledge(own, { version });
    else if (!this.#shared.patched(version, patch)) this._sync();
    this.#tell("state", this.state);
    if (behind) this.#outbox.flush();
  }

  /** @param {Message} message with `members`, or `joins` and `leaves`, or a `count` */
  #meet({ members, joins = [], leaves = [], count }) {
    // It was large: who was there is not known.
    if (!members && this.#count !== undefined && count === undefined) return void this._sync();
    this.#count = count && count - 1;
    if (members) {
      const present = new Set(members.map((/** @type {Member} */ member) => member.session));
      leaves = [...this.members.values()].filter((member) => !present.has(member.session));
      joins = members;
    }
    if (count !== undefined) this.members.clear();
    for (const { session } of leaves) {
      const member = this.members.get(session);
      if (this.members.delete(session) && member) this.#tell("leave", member);
    }
    for (const member of joins) {
      if (this.#client._owns(member.session)) continue; // who came is told of itself as well
      const isNew = !this.members.has(member.session);
      this.members.set(member.session, member);
      if (isNew) this.#tell("join", member);
    }
    this.#tell("presence", this.count);
  }
}

/** What `connect` returns. Events of rooms are told here too, with the room. */
class Client extends Listeners {
  /** Those that this client is in or joins, by name. @type {Map<string, Room>} */
  rooms = new Map();
  /** Our public name in `from`. @type {string | undefined} */
  session;
  /** @type {string | undefined} */
  user;
  _options;
  _outbox;
  #line;
  /** @type {string | undefined} the session before this one: its patches are ours too */
  #formerSession;
  /** @type {string | undefined} */
  #resumeToken;
  /** @type {string | undefined} the token that the server has */
  #token;
  #closed = false;
  /** @type {string | undefined} */
  #helloId;

  /** @param {Settings} options */
  constructor(options) {
    super();
    this._options = options;
    this.#line = new Line(options, {
      status: () => this._emit("status", this.status),
      opened: (token) => this.#hello(token),
      message: (message) => this.#receive(message),
      lost: () => this.#lost(),
      stopped: () => this._outbox.end("stopped", `stopped: ${this.status.reason}`),
      tooLarge: () => this._outbox.refuseLargest(),
      error: (error) => this._emit("error", error),
    });
    this._outbox = new Outbox(options, {
      isOpen: () => this.status.state === "open",
      send: (text) => this.#line.send(text),
      joined: (joined) => this.#line.hold(joined),
      failed: (error, room) => this._emit("error", error, room),
    });
    for (const [name, asked] of Object.entries(options.rooms)) this.join(name, asked);
    this.#line.open();
  }

  get status() {
    return this.#line.status;
  }

  /**
   * Joins a room, or changes what is asked of it.
   *
   * @param {string} name
   * @param {JoinOptions} [asked]
   * @returns {Promise<Room>} when the server let us in
   */
  join(name, asked) {
    const known = this.rooms.get(name);
    if (known && !asked) return known._joined;
    const room = known ?? new Room(name, this);
    this.rooms.set(name, room);
    if (!known && asked?.since) ({ epoch: room.epoch, seq: room.seq } = asked.since);
    Object.assign(room._options, asked);
    room._joined = quiet(this._outbox.add("join", room._asks(), room).answered.then(() => room));
    return room._joined;
  }

  /** As `chat` of the room of this name. @param {string} name @param {Message} members */
  chat(name, members) {
    return this.#joined(name).chat(members);
  }

  /** As `signal` of the room of this name. @param {string} name @param {any} data */
  signal(name, data) {
    this.#joined(name).signal(data);
  }

  /** Asks for a new token and tells the server. Resolved when the server has taken it. */
  reauth() {
    return quiet(this.#reauth());
  }

  async #reauth() {
    const token = await this.#line.token();
    if (this.status.state !== "open" || token === this.#token) return; // the next connection asks anyway
    await this._outbox.add("auth", { token }).answered;
    this.#token = token;
  }

  /** Measures the latency. */
  ping() {
    this.#line.ping();
  }

  /** Connects anew at once, also after a stop, but not after `close`. */
  reconnect() {
    if (this.#closed) return;
    this._outbox.ended = undefined;
    this.#line.open(0);
  }

  /** Ends the session, for good. What has no ack yet is refused with `closed`. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    this._outbox.flush();
    this.#line.close();
    this._outbox.end("closed");
  }

  /** @param {Room} room */
  _leave(room) {
    this._forget(room);
    return this._outbox.add("leave", {}, room).answered;
  }

  /** @param {Room} room */
  _forget(room) {
    room._entered = false;
    if (this.rooms.get(room.name) === room) this.rooms.delete(room.name);
  }

  /** @param {Room} room @param {any} data */
  _signal(room, data) {
    if (this.status.state !== "open" || this.#line.unsent > CONGESTED_BYTES || this._outbox.paceMs) return;
    this._outbox.add("signal", { data }, room);
  }

  /** @param {string} session */
  _owns(session) {
    return session !== undefined && (session === this.session || session === this.#formerSession);
  }

  /** @param {string} name */
  #joined(name) {
    const room = this.rooms.get(name);
    if (!room) throw new Error(`join the room ${name} first`);
    return room;
  }

  /** It names all rooms: joins and leaves that wait are done with it. @param {string} [token] */
  #hello(token) {
    this.#token = token;
    for (const request of this._outbox.filter(() => true)) {
      if (request.type === "join") request.sent = true;
      if (request.type === "leave" || request.type === "auth") this._outbox.acknowledge(request.id, {});
    }
    const rooms = Object.fromEntries([...this.rooms].map(([name, room]) => [name, room._asks()]));
    const resume = this.session && { session: this.session, token: this.#resumeToken };
    const { info } = this._options;
    this.#helloId = this._outbox.id();
    this.#line.send(JSON.stringify({ type: "hello", id: this.#helloId, v: 1, token, info, resume, rooms }));
  }

  /** @param {Message} message */
  #receive(message) {
    const { type, id } = message;
    if (type === "welcome") this.#welcome(message);
    else if (type === "ack") this._outbox.acknowledge(id, message);
    else if (type === "error") this.#refused(message);
    else if (type === "pong") this.#line.pong();
    else if (type === "disconnect") this.#line.farewell = message;
    else this.rooms.get(message.room)?._receive(message);
  }

  /** @param {Message} welcome */
  #welcome(welcome) {
    if (welcome.session !== this.session) this.#formerSession = this.session;
    this.session = welcome.session;
    this.user = welcome.user;
    this.#resumeToken = welcome.resume_token;
    Object.assign(this._outbox.limits, welcome.limits);
    for (const [name, info] of Object.entries(welcome.rooms ?? {})) {
      const room = this.rooms.get(name);
      room?._enter(info);
      for (const { id } of this.#joinsOf(room)) this._outbox.acknowledge(id, info);
    }
    this.#line.welcomed(welcome);
    this._emit("welcome", welcome);
    this._outbox.flush();
  }

  /** @param {Message} message an error */
  #refused(message) {
    const error = new FrameloopError(message.code, message.message, message);
    const room = this.rooms.get(message.room);
    if (message.id !== undefined) this._outbox.refuse(message.id, error);
    // The next one would be refused as well.
    if (message.id === this.#helloId && error.code === "invalid_message") this.#line.stop(1008, error.message);
    if (message.id !== undefined) return;
    // Perhaps it was only a signal: a join tells.
    if (room?._entered && error.code === "forbidden") room._sync();
    if (!room || room._entered) return this._emit("error", error, room);
    // A room of the hello.
    const joins = this.#joinsOf(room);
    this._forget(room);
    for (const { id } of joins) this._outbox.refuse(id, error);
    if (joins.length === 0) this._emit("error", error, room);
  }

  /** Joins of it that a hello has said. @param {Room} [room] */
  #joinsOf(room) {
    return this._outbox.filter((request) => request.type === "join" && request.room === room && request.sent);
  }

  #lost() {
    this._outbox.lost();
    for (const room of this.rooms.values()) room._entered = false;
  }
}

/** The ranges carry the meaning. @param {number} code @returns {"stop" | "wait" | "return"} */
function afterClose(code) {
  if (STOPS.has(code) || (code >= 4000 && code < 4100)) return "stop";
  return code >= 4200 && code < 4300 ? "return" : "wait";
}

/**
 * As few messages as the limits allow. One that is too large comes alone.
 *
 * @param {Request[]} requests
 * @param {{ batch: number, message_bytes: number }} limits
 */
function* batches(requests, limits) {
  /** @type {Request[]} */
  let batch = [];
  let bytes = 1; // brackets
  for (const request of requests) {
    if (batch.length > 0 && (batch.length >= limits.batch || bytes + request.bytes + 1 > limits.message_bytes)) {
      yield batch;
      batch = [];
      bytes = 1;
    }
    batch.push(request);
    bytes += request.bytes + 1;
  }
  if (batch.length > 0) yield batch;
}

/** @param {unknown} value @returns {value is Message} */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {unknown} value @returns {Message} what JSON keeps of it */
function plainObject(value) {
  if (!isObject(value)) throw new TypeError("the state of a room is an object");
  return JSON.parse(JSON.stringify(value));
}

/**
 * Who ignores it hears of a refusal by `error`. Other errors stay loud.
 *
 * @template T
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
function quiet(promise) {
  const result = promise.catch((error) => {
    if (error instanceof FrameloopError) result.catch(() => {});
    throw error;
  });
  return result;
}

// A new attempt would end in the same way.
const STOPS = new Set([1000, 1002, 1003, 1007, 1008]);

const DEFAULTS = {
  buffer: 1000,
  baseMs: 2000,
  maxMs: 60_000,
  attempts: 5,
  connectMs: 10_000,
  changes: 10,
  rooms: /** @type {Record<string, JoinOptions>} */ ({ lobby: {} }),
  random: Math.random,
};

const HOLD_TURNS = 10; // of promises, for who awaits in a chain
const PONG_MS = 10_000; // the longest time for the answer to a ping
const WAIT_MS_MAX = 3_600_000; // the longest time that a server may name
const FRAME_MS_MAX = 50; // hidden pages get no frames
const CONGESTED_BYTES = 1_048_576; // with more unsent, signals are dropped
