// One connection: opening, close codes, back-off, waking, silence, the end.

import assert from "node:assert/strict";
import test from "node:test";
import { comeBack, open, record, settle, start, started } from "./fake.js";

/** The wait that the status announces, in milliseconds. */
const wait = (client) => client.status.retryAt - Date.now();

test("it offers frameloop.v1 and says hello first, with token, info and rooms", async (t) => {
  const fake = await start(t, { token: "t1", info: { name: "Ann" }, rooms: { docs: { presence: true, last: 20 } } });
  assert.deepEqual(fake.socket.protocols, ["frameloop.v1"]);
  assert.equal(fake.socket.url, "ws://example.test/");
  fake.client.rooms.get("docs").chat({ msg: "early" });
  fake.socket.opens();
  await settle();
  const [hello, ...others] = fake.socket.sent;
  assert.equal(typeof hello.id, "string");
  assert.deepEqual(hello, {
    type: "hello",
    id: hello.id,
    v: 1,
    token: "t1",
    info: { name: "Ann" },
    rooms: { docs: { presence: true, last: 20 } },
  });
  assert.deepEqual(others, [], "nothing else before the welcome");
});

test("without options it joins the lobby; with rooms, those; with none, none", async (t) => {
  const rooms = async (options) => {
    const fake = await start(t, options);
    fake.socket.opens();
    t.mock.timers.reset();
    return fake.socket.sent[0].rooms;
  };
  assert.deepEqual(await rooms({}), { lobby: {} });
  assert.deepEqual(await rooms({ rooms: { a: {}, b: { state: true } } }), { a: {}, b: { state: true } });
  assert.deepEqual(await rooms({ rooms: {} }), {});
});

test("it waits 2, 4, 8, 16 and 32 s at most, and then gives up and says so", async (t) => {
  const fake = await start(t);
  const statuses = record(fake.client, "status");
  for (const [index, ms] of [2000, 4000, 8000, 16_000, 32_000].entries()) {
    fake.socket.ends(1006);
    assert.equal(fake.client.status.state, "waiting");
    assert.equal(fake.client.status.attempt, index + 1);
    assert.equal(wait(fake.client), ms);
    await fake.tick(ms - 1);
    assert.equal(fake.sockets.length, index + 1, "not before its time");
    await fake.tick(1);
    assert.equal(fake.sockets.length, index + 2);
    assert.equal(fake.client.status.state, "connecting");
  }
  fake.socket.ends(1006);
  assert.equal(fake.client.status.state, "offline");
  assert.equal(statuses.at(-1).state, "offline");
  await fake.tick(3_600_000);
  assert.equal(fake.sockets.length, 6);
});

test("with more attempts a wait is never longer than a minute", async (t) => {
  const fake = await start(t, { attempts: Infinity });
  for (let attempt = 1; attempt <= 1100; attempt++) {
    fake.socket.ends(1006);
    assert.equal(wait(fake.client), Math.min(60_000, 2000 * 2 ** (attempt - 1)));
    await fake.tick(60_000);
  }
  fake.client.close();
});

test("the numbers are options", async (t) => {
  const fake = await start(t, { baseMs: 100, attempts: 1 });
  fake.socket.ends(1006);
  assert.equal(wait(fake.client), 100);
  await fake.tick(100);
  fake.socket.ends(1006);
  assert.equal(fake.client.status.state, "offline");
});

test("the wait is anything between nothing and the most: full jitter", async (t) => {
  const numbers = [0, 0.25];
  const fake = await start(t, { random: () => numbers.shift() });
  fake.socket.ends(1006);
  assert.equal(wait(fake.client), 0);
  await fake.tick(0);
  fake.socket.ends(1006);
  assert.equal(wait(fake.client), 1000);
});

test("a welcome counts the attempts anew; an open socket alone does not", async (t) => {
  const fake = await start(t);
  fake.socket.ends(1006);
  await fake.tick(2000);
  fake.socket.opens();
  fake.socket.ends(1006);
  assert.equal(fake.client.status.attempt, 2);
  await fake.tick(4000);
  await open(fake);
  assert.equal(fake.client.status.attempt, 0);
  fake.socket.ends(1006);
  assert.equal(fake.client.status.attempt, 1);
  assert.equal(wait(fake.client), 2000);
});

const STOP = [1000, 1002, 1003, 1007, 1008, 4000, 4001, 4002, 4003, 4099];
const BACK_OFF = [1001, 1005, 1006, 1009, 1011, 1012, 1013, 1015, 3000, 4100, 4101, 4102, 4103, 4199, 4300];
const AT_ONCE = [4200, 4201, 4299];

for (const code of STOP) {
  test(`close ${code}: it stops, and waking does not change that`, async (t) => {
    const fake = await started(t);
    fake.socket.ends(code, "why");
    const { state, code: told, reason } = fake.client.status;
    assert.deepEqual([state, told, reason], ["stopped", code, "why"]);
    await fake.tick(3_600_000);
    assert.equal(fake.sockets.length, 1);
  });
}

for (const code of BACK_OFF) {
  test(`close ${code}: it backs off`, async (t) => {
    const fake = await started(t);
    fake.socket.ends(code, "why");
    const { state, code: told, reason } = fake.client.status;
    assert.deepEqual([state, told, reason, wait(fake.client)], ["waiting", code, "why", 2000]);
    await fake.tick(2000);
    assert.equal(fake.sockets.length, 2);
  });
}

for (const code of AT_ONCE) {
  test(`close ${code}: it returns at once, but not in a circle`, async (t) => {
    const fake = await started(t);
    fake.socket.ends(code);
    await fake.tick(0);
    assert.equal(fake.sockets.length, 2);
    fake.socket.ends(code);
    assert.equal(wait(fake.client), 4000, "there was no welcome in between");
  });
}

test("it returns after the after_ms of a disconnect", async (t) => {
  const fake = await started(t);
  fake.socket.says({ type: "disconnect", code: 1012, reason: "restart", reconnect: true, after_ms: 8231 });
  fake.socket.ends(1012, "restart");
  assert.equal(wait(fake.client), 8231);
  await fake.tick(8230);
  assert.equal(fake.sockets.length, 1);
  await fake.tick(1);
  assert.equal(fake.sockets.length, 2);
});

test("an after_ms holds for one return, and is never for good", async (t) => {
  const fake = await started(t);
  fake.socket.says({ type: "disconnect", code: 1012, reason: "restart", reconnect: true, after_ms: 1e15 });
  fake.socket.ends(1012);
  assert.equal(wait(fake.client), 3_600_000);
  await fake.tick(3_600_000);
  fake.socket.ends(1006);
  assert.equal(wait(fake.client), 4000);
});

test("the code of a disconnect counts when its Close is lost", async (t) => {
  const fake = await started(t);
  fake.socket.says({ type: "disconnect", code: 4003, reason: "replaced", reconnect: false });
  fake.socket.ends(1006);
  const { state, code, reason } = fake.client.status;
  assert.deepEqual([state, code, reason], ["stopped", 4003, "replaced"]);
});

test("a disconnect that says not to come back is obeyed, whatever its code", async (t) => {
  const fake = await started(t);
  fake.socket.says({ type: "disconnect", code: 1013, reason: "overloaded", reconnect: false });
  fake.socket.ends(1013);
  assert.equal(fake.client.status.state, "stopped");
});

test("a late event of an old socket does nothing", async (t) => {
  const fake = await started(t);
  const chats = record(fake.client, "chat");
  const old = fake.socket;
  await comeBack(fake);
  const { length } = fake.sockets;
  old.ends(4001);
  old.says({ type: "chat", room: "lobby", seq: 1, msg: "ghost" });
  old.onopen();
  old.onerror();
  await fake.tick(5000);
  assert.equal(fake.client.status.state, "open");
  assert.deepEqual([fake.sockets.length, chats, old.of("hello").length], [length, [], 1]);
});

test("there is one socket ever, also when it is asked to connect many times", async (t) => {
  const fake = await started(t);
  for (let i = 0; i < 3; i++) fake.client.reconnect();
  await settle();
  assert.equal(fake.sockets.length, 2, "three wishes, one connection");
  assert.equal(fake.sockets[0].closed.code, 4201, "not 1000, which would end the session");
  fake.socket.ends(1006);
  fake.client.reconnect();
  await settle();
  await fake.tick(60_000);
  const alive = fake.sockets.filter((socket) => socket.readyState < 2);
  assert.ok(alive.length <= 1, "the timer of the wait is gone");
});

test("a connection without a welcome is given up after 10 s, and it backs off", async (t) => {
  const fake = await start(t);
  fake.socket.opens();
  await fake.tick(9999);
  assert.equal(fake.client.status.state, "connecting");
  await fake.tick(1);
  assert.equal(fake.client.status.state, "waiting");
  assert.equal(fake.socket.readyState, 2, "the socket is closed");
});

// The page: an EventTarget in the place of a browser's window and document.
function fakePage(t) {
  const window = new EventTarget();
  const document = Object.assign(new EventTarget(), { hidden: false });
  const signals = [];
  for (const target of [window, document]) {
    const add = target.addEventListener.bind(target);
    target.addEventListener = (name, listener, options) => {
      signals.push(options.signal);
      add(name, listener, options);
    };
  }
  globalThis.addEventListener = window.addEventListener;
  globalThis.document = document;
  t.after(() => {
    delete globalThis.addEventListener;
    delete globalThis.document;
  });
  return {
    listeners: () => signals.filter((signal) => !signal.aborted).length,
    fire: (name) => window.dispatchEvent(new Event(name)),
    show(visible) {
      document.hidden = !visible;
      document.dispatchEvent(new Event("visibilitychange"));
    },
  };
}

/** Lets it give up. */
async function giveUp(fake) {
  for (let ms = 2000; fake.client.status.state !== "offline"; ms *= 2) {
    fake.socket.ends(1006);
    await fake.tick(ms);
  }
}

const WAKE = {
  "the network is back": (page) => page.fire("online"),
  "the page is resumed": (page) => page.fire("pageshow"),
  "the page becomes visible": (page) => page.show(true),
};

for (const [what, happens] of Object.entries(WAKE)) {
  test(`after giving up it comes back when ${what}`, async (t) => {
    const page = fakePage(t);
    const fake = await start(t);
    await giveUp(fake);
    const { length } = fake.sockets;
    page.show(false);
    await settle();
    assert.equal(fake.sockets.length, length, "a page that is hidden does not connect");
    happens(page);
    await settle();
    assert.equal(fake.sockets.length, length + 1);
    assert.equal(fake.client.status.attempt, 0, "with all its attempts");
  });
}

test("waking cuts a back-off short, but not a wait that the server named", async (t) => {
  const page = fakePage(t);
  const fake = await started(t);
  fake.socket.ends(1006);
  page.fire("online");
  await open(fake);
  assert.equal(fake.sockets.length, 2);
  fake.socket.says({ type: "disconnect", code: 1012, reason: "restart", reconnect: true, after_ms: 9000 });
  fake.socket.ends(1012);
  page.fire("online");
  await settle();
  assert.equal(fake.sockets.length, 2);
  await fake.tick(9000);
  assert.equal(fake.sockets.length, 3);
});

test("waking asks whether an open line is alive", async (t) => {
  const page = fakePage(t);
  const fake = await started(t);
  page.fire("online");
  assert.equal(fake.socket.of("ping").length, 1);
});

test("a stopped or closed client does not wake", async (t) => {
  const page = fakePage(t);
  const fake = await started(t);
  fake.socket.ends(4001);
  for (const happens of Object.values(WAKE)) happens(page);
  await settle();
  assert.equal(fake.sockets.length, 1);
  fake.client.close();
  for (const happens of Object.values(WAKE)) happens(page);
  await settle();
  assert.equal(fake.sockets.length, 1);
  assert.equal(page.listeners(), 0, "nothing of it stays behind");
});

test("a silent line is asked once an interval, and left when no pong comes", async (t) => {
  const fake = await started(t, {}, { heartbeat: { interval_s: 20, misses: 3 } });
  await fake.tick(19_999);
  assert.equal(fake.socket.of("ping").length, 0);
  await fake.tick(1);
  assert.equal(fake.socket.of("ping").length, 1);
  await fake.tick(9999);
  assert.equal(fake.client.status.state, "open");
  await fake.tick(1);
  assert.equal(fake.sockets[0].closed.code, 4201);
  assert.equal(fake.client.status.code, 4201);
  await fake.tick(0);
  assert.equal(fake.sockets.length, 2, "it returns at once");
});

test("a pong or any other message keeps the line, and a pong measures it", async (t) => {
  const fake = await started(t);
  await fake.tick(30_000);
  await fake.tick(120);
  fake.socket.says({ type: "pong", id: fake.socket.of("ping")[0].id, ts: 1 });
  assert.equal(fake.client.status.latency, 120);
  await fake.tick(29_000);
  assert.equal(fake.socket.of("ping").length, 1);
  fake.socket.says({ type: "signal", room: "lobby", data: 1 });
  await fake.tick(1000);
  assert.equal(fake.socket.of("ping").length, 1, "there was a message in this interval");
  await fake.tick(30_000);
  assert.equal(fake.socket.of("ping").length, 2);
  fake.socket.says({ type: "signal", room: "lobby", data: 1 });
  await fake.tick(10_000);
  assert.equal(fake.client.status.state, "open", "the pong may be stuck behind other messages");
});

test("a line on which an upload moves is not silent", async (t) => {
  const fake = await started(t);
  fake.socket.bufferedAmount = 5000;
  await fake.tick(30_000);
  fake.socket.bufferedAmount = 4000;
  await fake.tick(10_000);
  assert.equal(fake.client.status.state, "open");
  await fake.tick(30_000);
  await fake.tick(10_000);
  assert.equal(fake.sockets[0].closed.code, 4201, "it no longer moves");
});

test("a token function is asked before each connection", async (t) => {
  let count = 0;
  const fake = await started(t, { token: async () => `t${++count}` });
  await comeBack(fake);
  assert.deepEqual(fake.sockets.map((socket) => socket.of("hello")[0].token), ["t1", "t2"]);
});

test("a close with 4200 fetches a new token at once", async (t) => {
  let count = 0;
  const fake = await started(t, { token: async () => `t${++count}` });
  fake.socket.ends(4200, "token_expired");
  await fake.tick(0);
  fake.socket.opens();
  assert.equal(fake.socket.of("hello")[0].token, "t2");
});

test("a token that cannot be had counts as an attempt", async (t) => {
  const fake = await start(t, { token: () => Promise.reject(new Error("no network")) });
  assert.equal(fake.sockets.length, 0);
  assert.equal(fake.client.status.state, "waiting");
  const errors = record(fake.client, "error");
  await fake.tick(2000);
  assert.deepEqual([errors[0].code, errors[0].message], ["token", "no token: Error: no network"]);
  assert.equal(fake.client.status.attempt, 2);
});

test("a token that comes when nobody waits for it any more opens nothing", async (t) => {
  let give;
  const fake = await start(t, { token: () => new Promise((resolve) => (give = resolve)) });
  await fake.tick(10_000);
  assert.equal(fake.client.status.state, "waiting");
  give("late");
  await settle();
  assert.equal(fake.sockets.length, 0);
});

test("reauth sends a new token on a live line, and only a new one", async (t) => {
  let token = "t1";
  const fake = await started(t, { token: () => token });
  await fake.client.reauth();
  assert.equal(fake.socket.of("auth").length, 0);
  token = "t2";
  const done = fake.client.reauth();
  await settle();
  const [auth] = fake.socket.of("auth");
  assert.equal(auth.token, "t2");
  fake.socket.says({ type: "ack", id: auth.id });
  await done;
  await fake.client.reauth();
  assert.equal(fake.socket.of("auth").length, 1);
});

test("a reauth that the line interrupts is done by the next hello", async (t) => {
  let token = "t1";
  const fake = await started(t, { token: () => token });
  token = "t2";
  const done = fake.client.reauth();
  await settle();
  await comeBack(fake);
  await done;
  assert.deepEqual([fake.socket.of("hello")[0].token, fake.socket.of("auth")], ["t2", []]);
});

test("reauth is refused with the server's code", async (t) => {
  let token = "t1";
  const fake = await started(t, { token: () => token });
  token = "other user";
  const done = fake.client.reauth();
  await settle();
  fake.socket.says({ type: "error", id: fake.socket.of("auth")[0].id, code: "forbidden", message: "another user" });
  await assert.rejects(done, { code: "forbidden", message: "another user" });
});

test("after a stop, reconnect connects again; after close, nothing does", async (t) => {
  const fake = await started(t);
  fake.socket.ends(4001, "unauthorized");
  await assert.rejects(fake.client.chat("lobby", { msg: "x" }), { code: "stopped" });
  fake.client.reconnect();
  await open(fake);
  assert.equal(fake.client.status.state, "open");
  fake.client.close();
  fake.client.reconnect();
  await settle();
  assert.equal(fake.sockets.length, 2);
});

test("close 1009: the largest that was sent is refused, and only the rest is sent again", async (t) => {
  const fake = await started(t);
  const small = fake.client.chat("lobby", { msg: "small" });
  const large = fake.client.chat("lobby", { msg: "x".repeat(1000) });
  await settle();
  const unsent = fake.client.chat("lobby", { msg: "y".repeat(2000) });
  fake.socket.ends(1009, "message_too_large");
  await assert.rejects(large, { name: "FrameloopError", code: "message_too_large" });
  await fake.tick(2000);
  await open(fake);
  const again = fake.socket.of("chat").map(({ msg }) => msg.length);
  assert.deepEqual(again, [5, 2000]);
  fake.client.on("error", () => {});
  fake.client.close();
  await assert.rejects(small, { code: "closed" });
  await assert.rejects(unsent, { code: "closed" });
});

test("a stop refuses what waits", async (t) => {
  const fake = await started(t);
  const errors = record(fake.client, "error");
  const chat = fake.client.chat("lobby", { msg: "x" });
  fake.socket.ends(1008, "policy");
  await assert.rejects(chat, { name: "FrameloopError", code: "stopped" });
  assert.deepEqual(errors.map((error) => error.code), ["stopped"], "who ignores the promise hears of it too");
});

test("close sends what waits, closes with 1000, refuses the rest, and says so", async (t) => {
  const fake = await started(t);
  const chat = fake.client.chat("lobby", { msg: "last words" });
  fake.client.close();
  assert.equal(fake.socket.of("chat")[0].msg, "last words");
  assert.deepEqual(fake.socket.closed, { code: 1000, reason: "normal" });
  const { state, code } = fake.client.status;
  assert.deepEqual([state, code], ["stopped", 1000]);
  await assert.rejects(chat, { code: "closed" });
  await assert.rejects(fake.client.chat("lobby", { msg: "more" }), { code: "closed" });
  fake.socket.ends(1000);
  await fake.tick(3_600_000);
  assert.equal(fake.sockets.length, 1);
});

for (const state of ["connecting", "open", "waiting"]) {
  test(`close leaves no timer and nothing that happens later, when ${state}`, async (t) => {
    const fake = await start(t, { batchMs: 10 });
    if (state !== "connecting") await open(fake);
    if (state === "waiting") fake.socket.ends(1006);
    assert.equal(fake.client.status.state, state);
    fake.client.chat("lobby", { msg: "x" });
    const pending = t.mock.method(globalThis, "setTimeout");
    const cleared = t.mock.method(globalThis, "clearTimeout");
    fake.client.close();
    const statuses = record(fake.client, "status");
    await fake.tick(3_600_000);
    assert.equal(pending.mock.callCount(), 0);
    assert.ok(cleared.mock.callCount() > 0);
    assert.deepEqual([fake.sockets.length, statuses], [1, []]);
  });
}

test("the status tells each step with its code, reason and time", async (t) => {
  const fake = await start(t);
  const statuses = record(fake.client, "status");
  await open(fake);
  fake.socket.ends(1013, "overloaded");
  await fake.tick(2000);
  const shown = statuses.map(({ state, attempt, code, reason, retryAt }) => [state, attempt, code, reason, retryAt]);
  assert.deepEqual(shown, [
    ["open", 0, undefined, undefined, undefined],
    ["waiting", 1, 1013, "overloaded", 2000],
    ["connecting", 1, 1013, "overloaded", undefined],
  ]);
});

test("on returns the function that removes the listener", async (t) => {
  const fake = await start(t);
  const seen = [];
  const off = fake.client.on("status", ({ state }) => seen.push(state));
  await open(fake);
  off();
  fake.socket.ends(1006);
  assert.deepEqual(seen, ["open"]);
});

test("without a WebSocket it says what to do; with a bad address it stops", async (t) => {
  const { connect } = await import("../../src/chat/web/frameloop.js");
  const original = globalThis.WebSocket;
  globalThis.WebSocket = undefined;
  assert.throws(() => connect("ws://x/"), /options.WebSocket/);
  globalThis.WebSocket = original;
  class Bad {
    constructor() {
      throw new SyntaxError("bad URL");
    }
  }
  const client = connect("nonsense", { WebSocket: Bad });
  await settle();
  assert.deepEqual([client.status.state, client.status.reason], ["stopped", "SyntaxError: bad URL"]);
});
