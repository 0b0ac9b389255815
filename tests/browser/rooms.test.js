// Rooms: join and leave, resume and recovery, positions, presence.

import assert from "node:assert/strict";
import test from "node:test";
import { comeBack, open, record, settle, start, started, welcomeTo } from "./fake.js";

const chat = (seq, more) => ({ type: "chat", room: "docs", seq, from: { session: "s_b" }, msg: `m${seq}`, ...more });
const seqs = (chats) => chats.map(({ seq }) => seq);
const hello = (fake) => fake.socket.of("hello")[0];

/** A client in the room docs at this position. */
async function inDocs(t, asked = {}, info = {}) {
  const fake = await started(t, { rooms: { docs: asked } }, { rooms: { docs: { seq: 100, ...info } } });
  fake.room = fake.client.rooms.get("docs");
  return fake;
}

test("join is resolved by the ack with the room, whose position is known", async (t) => {
  const fake = await started(t);
  const joined = fake.client.join("docs", { presence: true, state: true, last: 20 });
  await settle();
  const [join] = fake.socket.of("join");
  assert.deepEqual(join, { presence: true, state: true, last: 20, type: "join", id: join.id, room: "docs" });
  fake.socket.says({ type: "ack", id: join.id, room: "docs", epoch: "e7", seq: 118, version: 3, state: { a: 1 } });
  const room = await joined;
  assert.deepEqual([room.name, room.epoch, room.version, room.state], ["docs", "e7", 3, { a: 1 }]);
  assert.equal(await fake.client.join("docs"), room, "joining again is no second join");
});

test("a join that is refused is rejected, and may be tried again", async (t) => {
  const fake = await started(t);
  const joined = fake.client.join("secret");
  await settle();
  const [{ id }] = fake.socket.of("join");
  fake.socket.says({ type: "error", id, code: "forbidden", message: "no", room: "secret" });
  await assert.rejects(joined, { code: "forbidden" });
  assert.equal(fake.client.rooms.has("secret"), false);
  fake.client.join("secret");
  await settle();
  assert.equal(fake.socket.of("join").length, 2);
});

test("a room of the hello is joined by the welcome, or refused by an error with its name", async (t) => {
  const fake = await start(t, { rooms: { docs: {}, secret: {} } });
  const [docs, secret] = [fake.client.join("docs"), fake.client.join("secret")];
  fake.socket.opens();
  fake.socket.says(welcomeTo(fake.socket, { rooms: { secret: null } }));
  fake.socket.says({ type: "error", code: "forbidden", message: "no", room: "secret" });
  assert.equal((await docs).name, "docs");
  await assert.rejects(secret, { code: "forbidden" });
  await settle();
  assert.deepEqual(fake.socket.of("join"), [], "the hello has said it");
  await comeBack(fake);
  assert.deepEqual(Object.keys(hello(fake).rooms), ["docs"]);
});

test("a join between hello and welcome is sent after the welcome", async (t) => {
  const fake = await start(t);
  fake.socket.opens();
  fake.client.join("docs");
  const welcome = welcomeTo(fake.socket);
  await settle();
  assert.equal(fake.socket.sent.length, 1);
  fake.socket.says(welcome);
  await settle();
  assert.equal(fake.socket.of("join")[0].room, "docs");
});

test("a join and a leave that the line interrupts are done by the next hello", async (t) => {
  const fake = await started(t, { rooms: { a: {} } });
  const joined = fake.client.join("b");
  const left = fake.client.rooms.get("a").leave();
  await settle();
  await comeBack(fake);
  assert.deepEqual(Object.keys(hello(fake).rooms), ["b"]);
  assert.equal((await joined).name, "b");
  await left;
  assert.deepEqual([fake.socket.of("join"), fake.socket.of("leave")], [[], []]);
});

test("leave is resolved by its ack, and the room is no longer heard", async (t) => {
  const fake = await inDocs(t);
  const chats = record(fake.room, "chat");
  const left = fake.room.leave();
  await settle();
  const [leave] = fake.socket.of("leave");
  fake.socket.says(chat(101));
  fake.socket.says({ type: "ack", id: leave.id, room: "docs" });
  await left;
  assert.deepEqual([leave.room, chats, fake.client.rooms.size], ["docs", [], 0]);
});

test("after a reconnect it resumes its session, and tells each room's position", async (t) => {
  const asked = { presence: true, state: true, last: 20 };
  const fake = await inDocs(t, asked, { version: 9, state: { a: 1 }, members: [] });
  fake.socket.says(chat(101));
  await comeBack(fake);
  assert.deepEqual(hello(fake).resume, { session: "s_1", token: "r_1" });
  assert.deepEqual(hello(fake).rooms, {
    docs: { presence: true, state: true, since: { epoch: "e1", seq: 101, version: 9 } },
  });
});

test("the first hello resumes nothing, unless the application knows a position", async (t) => {
  const fake = await inDocs(t, { since: { epoch: "e1", seq: 90 } });
  assert.equal("resume" in hello(fake), false);
  assert.deepEqual(hello(fake).rooms.docs, { since: { epoch: "e1", seq: 90 } });
  const chats = record(fake.room, "chat");
  fake.socket.says(chat(90), chat(91));
  assert.deepEqual(seqs(chats), [91]);
});

test("a session that was not resumed gets a new name, and still what it missed", async (t) => {
  const fake = await inDocs(t);
  const chats = record(fake.room, "chat");
  await comeBack(fake, { session: "s_2", resume_token: "r_2", resumed: false, rooms: { docs: { seq: 102 } } });
  fake.socket.says(chat(101), chat(102));
  assert.deepEqual([fake.client.session, seqs(chats)], ["s_2", [101, 102]]);
  await comeBack(fake);
  assert.deepEqual(hello(fake).resume, { session: "s_2", token: "r_2" });
});

test("replayed chats come in order, as an array, before live ones; the recovery is told", async (t) => {
  const fake = await inDocs(t);
  const events = [];
  fake.client.on("recovered", ({ seq }, room) => events.push(["recovered", seq, room.name]));
  fake.client.on("chat", ({ seq }, room) => events.push(["chat", seq, room.name]));
  await comeBack(fake, { rooms: { docs: { seq: 103, recovered: true } } });
  fake.socket.says(chat(101), chat(102), chat(103));
  fake.socket.says(chat(104));
  assert.deepEqual(events, [
    ["recovered", 103, "docs"],
    ...[101, 102, 103, 104].map((seq) => ["chat", seq, "docs"]),
  ]);
});

test("a chat that was seen before is dropped", async (t) => {
  const fake = await inDocs(t);
  const chats = record(fake.room, "chat");
  fake.socket.says(chat(101), chat(102));
  await comeBack(fake, { rooms: { docs: { seq: 103 } } });
  fake.socket.says(chat(101), chat(102), chat(103));
  fake.socket.says(chat(103));
  assert.deepEqual(seqs(chats), [101, 102, 103]);
});

test("the last chats of a first join are heard", async (t) => {
  const fake = await inDocs(t, { last: 3 });
  const chats = record(fake.room, "chat");
  fake.socket.says(chat(98), chat(99), chat(100));
  assert.deepEqual(seqs(chats), [98, 99, 100]);
});

test("a line that breaks in the middle of a replay goes on where it broke", async (t) => {
  const fake = await inDocs(t);
  await comeBack(fake, { rooms: { docs: { seq: 200 } } });
  fake.socket.says(chat(101), chat(102));
  await comeBack(fake);
  assert.equal(hello(fake).rooms.docs.since.seq, 102);
});

test("an own chat moves the position, but not over chats that are still to come", async (t) => {
  const fake = await inDocs(t);
  fake.room.chat({ msg: "mine" });
  await settle();
  const say = (seq) => fake.socket.says({ type: "ack", id: fake.socket.of("chat").at(-1).id, epoch: "e1", seq });
  say(101);
  assert.equal(fake.room.seq, 101);
  fake.room.chat({ msg: "mine" });
  await settle();
  say(150);
  assert.equal(fake.room.seq, 101);
});

test("another epoch counts anew", async (t) => {
  const fake = await inDocs(t);
  const chats = record(fake.room, "chat");
  const gaps = record(fake.room, "gap");
  await comeBack(fake, { rooms: { docs: { epoch: "e2", seq: 2 } } });
  fake.socket.says({ type: "gap", room: "docs", epoch: "e2", reason: "reset" }, chat(1), chat(2));
  fake.socket.says(chat(2), chat(3));
  assert.deepEqual([seqs(chats), gaps[0].reason], [[1, 2, 3], "reset"]);
  await comeBack(fake);
  assert.deepEqual(hello(fake).rooms.docs.since, { epoch: "e2", seq: 3 });
});

test("a chat of another epoch is no repetition", async (t) => {
  const fake = await inDocs(t);
  const chats = record(fake.room, "chat");
  fake.socket.says(chat(101, { epoch: "e1" }), chat(1, { epoch: "e2" }), chat(1, { epoch: "e2" }));
  assert.deepEqual(seqs(chats), [101, 1]);
});

test("a room is not heard before its join is answered", async (t) => {
  const fake = await inDocs(t);
  fake.room.leave();
  fake.client.join("docs");
  const chats = record(fake.client, "chat");
  await settle();
  fake.socket.says(chat(101));
  const [join] = fake.socket.of("join");
  fake.socket.says({ type: "ack", id: join.id, room: "docs", epoch: "e1", seq: 101 }, chat(102));
  await settle();
  assert.deepEqual(seqs(chats), [102]);
});

test("a gap is told with its room, and what it names does not come any more", async (t) => {
  const fake = await inDocs(t);
  const gaps = [];
  fake.client.on("gap", (gap, room) => gaps.push([gap.reason, gap.from_seq, gap.to_seq, room.name]));
  const chats = record(fake.room, "chat");
  fake.socket.says({ type: "gap", room: "docs", epoch: "e1", from_seq: 101, to_seq: 110, reason: "overrun" });
  fake.socket.says(chat(110), chat(111));
  assert.deepEqual([gaps, seqs(chats)], [[["overrun", 101, 110, "docs"]], [111]]);
});

test("signals come with their room", async (t) => {
  const fake = await inDocs(t);
  const signals = record(fake.room, "signal");
  fake.socket.says({ type: "signal", room: "docs", from: { session: "s_b" }, data: { typing: true } });
  assert.deepEqual(signals[0].data, { typing: true });
});

test("a room that the server takes away is told, and is no longer there", async (t) => {
  const fake = await started(t, { rooms: { docs: { presence: true }, news: {} } });
  const errors = record(fake.client, "error");
  const docs = fake.client.rooms.get("docs");
  // It looks the same when only a signal was refused: a join tells, and one is enough.
  const forbidden = { type: "error", code: "forbidden", message: "no right", room: "docs" };
  fake.socket.says(forbidden, forbidden);
  await settle();
  const joins = fake.socket.of("join");
  assert.deepEqual(joins.map(({ room, presence, since }) => [room, presence, since]), [["docs", true, undefined]]);
  assert.equal(fake.client.rooms.get("docs"), docs);
  fake.socket.says({ ...forbidden, id: joins[0].id });
  await settle();
  assert.deepEqual([...fake.client.rooms.keys()], ["news"]);
  assert.deepEqual(errors.map(({ code }) => code), ["forbidden", "forbidden", "forbidden"]);
  assert.throws(() => fake.client.chat("docs", { msg: "x" }), /join the room docs first/);
  await comeBack(fake);
  assert.deepEqual(Object.keys(fake.socket.of("hello")[0].rooms), ["news"]);
});

test("a room of which only a signal was refused stays, with its position", async (t) => {
  const fake = await started(t, {}, { rooms: { lobby: { epoch: "e1", seq: 4 } } });
  fake.socket.says({ type: "error", code: "forbidden", message: "no right", room: "lobby" });
  await settle();
  const chats = record(fake.client, "chat");
  const [join] = fake.socket.of("join");
  fake.socket.says({ type: "chat", room: "lobby", seq: 5, from: { session: "s_b" }, msg: "meanwhile" });
  fake.socket.says({ type: "ack", id: join.id, room: "lobby", epoch: "e1", seq: 5 });
  await settle();
  const room = fake.client.rooms.get("lobby");
  assert.deepEqual([room.seq, chats.map(({ msg }) => msg)], [5, ["meanwhile"]]);
});

test("a room that the server took away on a resume is told", async (t) => {
  const fake = await inDocs(t);
  const errors = record(fake.client, "error");
  await comeBack(fake, { rooms: { docs: null } });
  fake.socket.says({ type: "error", code: "forbidden", message: "no more", room: "docs" });
  assert.deepEqual([errors.map((error) => error.code), fake.client.rooms.size], [["forbidden"], 0]);
});

const member = (session, name) => ({ session, info: { name } });

/** The joins and leaves of a room, as they come. */
function comings(room) {
  const seen = [];
  room.on("join", ({ session }) => seen.push(`+${session}`));
  room.on("leave", ({ session }) => seen.push(`-${session}`));
  room.on("presence", (count) => seen.push(count));
  return seen;
}

test("members come with the join, and then come and go", async (t) => {
  const fake = await inDocs(t, { presence: true }, { members: [member("b", "Bob")] });
  assert.deepEqual(fake.room.members.get("b"), member("b", "Bob"));
  const seen = comings(fake.room);
  fake.socket.says({ type: "presence", room: "docs", joins: [member("c")], leaves: [{ session: "b" }] });
  fake.socket.says({ type: "presence", room: "docs", joins: [member("c", "Cy")] });
  assert.deepEqual(seen, ["-b", "+c", 1, 1]);
  assert.equal(fake.room.members.get("c").info.name, "Cy");
});

test("after a reconnect only the difference of members is told", async (t) => {
  const fake = await inDocs(t, { presence: true }, { members: [member("b"), member("c")] });
  const seen = comings(fake.room);
  await comeBack(fake, { rooms: { docs: { members: [member("c"), member("d")] } } });
  assert.deepEqual(seen, ["-b", "+d", 2]);
});

test("a large room has a count, and asks for the members when it is small again", async (t) => {
  const fake = await inDocs(t, { presence: true }, { members: [member("a")] });
  fake.socket.says({ type: "presence", room: "docs", count: 501 });
  assert.deepEqual([fake.room.count, fake.room.members.size], [500, 0], "the server counts us too");
  fake.socket.says({ type: "presence", room: "docs", count: 502 });
  assert.equal(fake.room.count, 501);
  fake.socket.says({ type: "presence", room: "docs", joins: [], leaves: [member("b")] });
  assert.equal(fake.room.count, 501, "until they are known");
  await settle();
  const [join] = fake.socket.of("join");
  fake.socket.says({ type: "ack", id: join.id, room: "docs", epoch: "e1", seq: 100, members: [member("c")] });
  assert.deepEqual([...fake.room.members.keys(), fake.room.count], ["c", 1]);
});

test("a room may be asked for more later", async (t) => {
  const fake = await inDocs(t);
  const joined = fake.client.join("docs", { state: true });
  await settle();
  const [join] = fake.socket.of("join");
  assert.deepEqual([join.state, join.since], [true, { epoch: "e1", seq: 100 }]);
  fake.socket.says({ type: "ack", id: join.id, room: "docs", epoch: "e1", seq: 100, version: 2, state: { a: 1 } });
  assert.deepEqual((await joined).state, { a: 1 });
});

test("the welcome is an event, with the session and the user", async (t) => {
  const fake = await start(t);
  const welcomes = record(fake.client, "welcome");
  await open(fake, { user: "ann" });
  assert.deepEqual([welcomes[0].resumed, fake.client.session, fake.client.user], [false, "s_1", "ann"]);
});

test("own chats of a replay are no news, but their numbers count", async (t) => {
  const fake = await inDocs(t);
  const heard = record(fake.room, "chat");
  const own = { session: fake.client.session };
  fake.socket.says(chat(101), chat(102, { from: own }), chat(103));
  assert.deepEqual(seqs(heard), [101, 103]);
  assert.equal(fake.room.seq, 103);
});

test("who comes is told of itself by presence, and does not meet itself", async (t) => {
  const fake = await inDocs(t, { presence: true }, { members: [] });
  const joins = record(fake.room, "join");
  fake.socket.says({ type: "presence", room: "docs", joins: [{ session: fake.client.session }, { session: "s_b" }], leaves: [] });
  assert.deepEqual([joins.length, [...fake.room.members.keys()], fake.room.count], [1, ["s_b"], 1]);
});

test("a hello that is refused is not said again and again", async (t) => {
  const fake = await start(t, { rooms: { docs: {} } });
  const errors = record(fake.client, "error");
  fake.socket.opens();
  const [{ id }] = fake.socket.of("hello");
  fake.socket.says({ type: "error", id, code: "invalid_message", message: "the name of a room …", field: "rooms" });
  assert.equal(errors[0].code, "invalid_message");
  assert.deepEqual([fake.client.status.state, fake.client.status.code], ["stopped", 1008]);
});

test("whoever awaits a join and then listens hears what comes right behind it", async (t) => {
  const fake = await started(t);
  const heard = [];
  const application = (async () => {
    const [room] = await Promise.all([fake.client.join("docs", { last: 2 })]);
    room.on("chat", ({ seq }) => heard.push(seq));
  })();
  await settle();
  const [{ id }] = fake.socket.of("join");
  // All of it comes in one task, as in Node.
  fake.socket.says({ type: "ack", id, room: "docs", epoch: "e1", seq: 5 });
  fake.socket.says(chat(4), chat(5));
  fake.socket.says(chat(6));
  await application;
  await settle();
  assert.deepEqual(heard, [4, 5, 6]);
});

test("what was read is heard before the end of the line", async (t) => {
  const fake = await started(t);
  const chats = record(fake.client, "chat");
  fake.client.join("docs");
  await settle();
  const [{ id }] = fake.socket.of("join");
  fake.socket.says({ type: "ack", id, room: "docs", epoch: "e1", seq: 5 }, chat(6));
  fake.socket.says({ type: "disconnect", code: 1012, reason: "restart", reconnect: true, after_ms: 500 });
  fake.socket.ends(1006);
  assert.deepEqual([seqs(chats), fake.client.status.code], [[6], 1012]);
});

test("a line that is lost before the gap of another log comes back with the old position", async (t) => {
  const fake = await inDocs(t);
  const gaps = record(fake.room, "gap");
  fake.socket.says(chat(101));
  await comeBack(fake, { rooms: { docs: { epoch: "e2", seq: 3, recovered: false } } });
  await comeBack(fake, { rooms: { docs: { epoch: "e2", seq: 3, recovered: false } } });
  assert.deepEqual(hello(fake).rooms.docs.since, { epoch: "e1", seq: 101 });
  fake.socket.says({ type: "gap", room: "docs", epoch: "e2", reason: "reset" }, chat(1), chat(2));
  await comeBack(fake, { rooms: { docs: { epoch: "e2", seq: 3, recovered: true } } });
  assert.deepEqual(hello(fake).rooms.docs.since, { epoch: "e2", seq: 2 });
  assert.equal(gaps.length, 1);
});

test("a chat that is no object is a mistake that shows at once", async (t) => {
  const fake = await inDocs(t);
  for (const wrong of ["hi", 5, null, undefined, ["a"]]) assert.throws(() => fake.room.chat(wrong), TypeError);
});
