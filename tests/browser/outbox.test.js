// Messages on their way: acks and errors, batches, the buffer, and what is sent again.

import assert from "node:assert/strict";
import test from "node:test";
import { comeBack, open, record, settle, start, started } from "./fake.js";

const ack = (chat, seq, more) => ({ type: "ack", id: chat.id, room: chat.room, epoch: "e1", seq, ...more });

test("a chat is resolved by its ack, with its seq", async (t) => {
  const fake = await started(t);
  const done = fake.client.chat("lobby", { msg: "hi", color: "red" });
  await settle();
  const [chat] = fake.socket.of("chat");
  assert.deepEqual(chat, { msg: "hi", color: "red", type: "chat", id: chat.id, room: "lobby" });
  fake.socket.says(ack(chat, 7));
  assert.equal((await done).seq, 7);
});

test("a chat is rejected by its error, with code and details, and the error is an event too", async (t) => {
  const fake = await started(t);
  const errors = record(fake.client, "error");
  const done = fake.client.rooms.get("lobby").chat({ msg: "hi" });
  await settle();
  const [{ id }] = fake.socket.of("chat");
  fake.socket.says({ type: "error", id, code: "message_too_large", message: "shorter", room: "lobby", limit: 900 });
  const error = await done.catch((error) => error);
  assert.deepEqual([error.code, error.message, error.details.limit], ["message_too_large", "shorter", 900]);
  assert.deepEqual(errors, [error]);
});

test("an error without an id is an event", async (t) => {
  const fake = await started(t);
  const errors = record(fake.client, "error");
  fake.socket.says({ type: "error", code: "forbidden", message: "read only", room: "lobby" });
  assert.deepEqual(errors.map((error) => error.code), ["forbidden"]);
  assert.ok(fake.client.rooms.has("lobby"), "one of a signal does not end the room");
});

/** What a server with a rate answers to what is too much. */
function late({ id, room }, retry_after_ms) {
  return { type: "error", id, code: "rate_limited", message: "slower", room, retry_after_ms };
}

test("chats over the server's rate go again when it lets them, in order, each with its id", async (t) => {
  const fake = await started(t);
  const errors = record(fake.client, "error");
  const said = ["a", "b", "c"].map((msg) => fake.client.chat("lobby", { msg }));
  await settle();
  const chats = fake.socket.of("chat");
  fake.socket.says(ack(chats[0], 1), late(chats[1], 200), late(chats[2], 300));
  said.push(fake.client.chat("lobby", { msg: "d" }));
  await fake.tick(299);
  assert.equal(fake.socket.of("chat").length, 3, "neither they nor a newer one before their time");
  // Then one at a time: at once they would be too many again.
  await fake.tick(1);
  assert.deepEqual(fake.socket.sent.at(-1), chats[1]);
  await fake.tick(10_000);
  assert.equal(fake.socket.of("chat").length, 4, "the next one waits for the answer");
  fake.socket.says(ack(chats[1], 2));
  await settle();
  assert.deepEqual(fake.socket.sent.at(-1), chats[2]);
  fake.socket.says(ack(chats[2], 3));
  await fake.tick(199);
  assert.equal(fake.socket.of("chat").length, 5, "and keeps the distance that the server asked for");
  await fake.tick(1);
  const last = fake.socket.sent.at(-1);
  assert.equal(last.msg, "d");
  fake.socket.says(ack(last, 4));
  assert.deepEqual((await Promise.all(said)).map(({ seq }) => seq), [1, 2, 3, 4]);
  assert.deepEqual(errors, [], "nothing was refused");
  for (const msg of ["e", "f"]) fake.client.chat("lobby", { msg });
  await settle();
  assert.deepEqual(fake.socket.sent.at(-1).map(({ msg }) => msg), ["e", "f"], "nothing waits any more: as before");
});

test("a wait that the server names is bounded, and signals are dropped until then", async (t) => {
  const fake = await started(t);
  fake.client.chat("lobby", { msg: "a" });
  await settle();
  const [chat] = fake.socket.of("chat");
  fake.socket.says(late(chat, 1e15));
  fake.client.signal("lobby", { typing: true });
  fake.socket.ends(1006);
  await fake.tick(2000);
  await open(fake);
  assert.deepEqual(fake.socket.messages.length, 1, "the hello alone");
  await fake.tick(3_598_000);
  assert.deepEqual([fake.socket.of("chat"), fake.socket.of("signal")], [[chat], []]);
});

test("a line that is lost during the wait changes neither the wait nor the order", async (t) => {
  const fake = await started(t);
  for (const msg of ["a", "b"]) fake.client.chat("lobby", { msg });
  await settle();
  const chats = fake.socket.of("chat");
  fake.socket.says(late(chats[0], 5000), late(chats[1], 6000));
  fake.socket.ends(1006);
  await fake.tick(2000);
  await open(fake);
  assert.deepEqual(fake.socket.of("chat"), []);
  await fake.tick(3999);
  assert.deepEqual(fake.socket.of("chat"), []);
  await fake.tick(1);
  assert.deepEqual(fake.socket.of("chat"), [chats[0]]);
});

test("close refuses what waits for the server's rate, and leaves no timer", async (t) => {
  const fake = await started(t);
  const said = fake.client.chat("lobby", { msg: "a" });
  await settle();
  fake.socket.says(late(fake.socket.of("chat")[0], 5000));
  fake.client.close();
  await assert.rejects(said, { code: "closed" });
  await fake.tick(10_000);
  assert.equal(fake.socket.of("chat").length, 1);
});

test("the protocol's members cannot be overwritten by a chat's own", async (t) => {
  const fake = await started(t);
  fake.client.chat("lobby", { type: "patch", id: 1, room: "x", msg: "hi" });
  await settle();
  const [{ type, id, room }] = fake.socket.messages.slice(1);
  assert.deepEqual([type, typeof id, room], ["chat", "string", "lobby"]);
});

test("what is said in one turn goes as one array, and a single message as an object", async (t) => {
  const fake = await started(t);
  fake.client.chat("lobby", { msg: 1 });
  fake.client.chat("lobby", { msg: 2 });
  fake.client.signal("lobby", { typing: true });
  await settle();
  fake.client.chat("lobby", { msg: 3 });
  await settle();
  const [, batch, single] = fake.socket.sent;
  assert.deepEqual(batch.map((message) => message.msg ?? message.data), [1, 2, { typing: true }]);
  assert.equal(single.msg, 3);
});

test("a batch holds at most limits.batch messages", async (t) => {
  const fake = await started(t, {}, { limits: { batch: 3, message_bytes: 1_048_576 } });
  for (let msg = 0; msg < 7; msg++) fake.client.chat("lobby", { msg });
  await settle();
  const sizes = fake.socket.sent.slice(1).map((message) => message.length ?? "object");
  assert.deepEqual(sizes, [3, 3, "object"]);
  assert.deepEqual(fake.socket.of("chat").map((chat) => chat.msg), [0, 1, 2, 3, 4, 5, 6]);
});

test("a batch is no larger than limits.message_bytes", async (t) => {
  const fake = await started(t, {}, { limits: { batch: 100, message_bytes: 1000 } });
  for (let i = 0; i < 9; i++) fake.client.chat("lobby", { msg: "ä".repeat(100) });
  await settle();
  const sizes = fake.socket.sent.slice(1).map((message) => Buffer.byteLength(JSON.stringify(message)));
  assert.ok(sizes.every((bytes) => bytes <= 1000), String(sizes));
  assert.equal(sizes.length, 3);
  assert.equal(fake.socket.of("chat").length, 9);
});

test("a message over the limit is refused, and the others go", async (t) => {
  const fake = await started(t, {}, { limits: { batch: 100, message_bytes: 200 } });
  fake.client.chat("lobby", { msg: 1 });
  const large = fake.client.chat("lobby", { msg: "x".repeat(200) });
  fake.client.chat("lobby", { msg: 2 });
  await assert.rejects(large, { code: "message_too_large" });
  await settle();
  assert.deepEqual(fake.socket.of("chat").map((chat) => chat.msg), [1, 2]);
});

test("batchMs collects for so long", async (t) => {
  const fake = await started(t, { batchMs: 40 });
  fake.client.chat("lobby", { msg: 1 });
  await fake.tick(39);
  fake.client.chat("lobby", { msg: 2 });
  assert.equal(fake.socket.of("chat").length, 0);
  await fake.tick(1);
  assert.equal(fake.socket.sent[1].length, 2);
});

test("in a page it collects for a frame, and no longer than 50 ms where there are none", async (t) => {
  const frames = [];
  globalThis.requestAnimationFrame = (run) => frames.push(run);
  t.after(() => delete globalThis.requestAnimationFrame);
  const fake = await started(t);
  fake.client.chat("lobby", { msg: 1 });
  fake.client.chat("lobby", { msg: 2 });
  await settle();
  assert.equal(fake.socket.of("chat").length, 0);
  frames.at(-1)();
  assert.equal(fake.socket.sent[1].length, 2);
  fake.client.chat("lobby", { msg: 3 });
  await fake.tick(50);
  assert.equal(fake.socket.of("chat").length, 3, "a hidden page gets no frames");
});

test("chats said offline are sent after the welcome, in order and together", async (t) => {
  const fake = await start(t);
  for (let msg = 0; msg < 3; msg++) fake.client.chat("lobby", { msg });
  await open(fake);
  assert.deepEqual(fake.socket.sent[1].map((chat) => chat.msg), [0, 1, 2]);
});

test("chats without an ack are sent again with the same ids, in order, before newer ones", async (t) => {
  const fake = await started(t);
  const first = fake.client.chat("lobby", { msg: 1 });
  const second = fake.client.chat("lobby", { msg: 2 });
  await settle();
  const [one, two] = fake.socket.of("chat");
  fake.socket.says(ack(one, 1));
  fake.socket.ends(1006);
  fake.client.chat("lobby", { msg: 3 });
  await fake.tick(2000);
  await open(fake);
  const again = fake.socket.of("chat");
  assert.deepEqual(again.map((chat) => chat.msg), [2, 3]);
  assert.equal(again[0].id, two.id);
  fake.socket.says(ack(again[0], 2, { duplicate: true }));
  assert.equal((await first).seq, 1);
  assert.deepEqual(await second.then(({ seq, duplicate }) => [seq, duplicate]), [2, true]);
});

test("the ids stay when the session was not resumed, and no two requests share one", async (t) => {
  const fake = await started(t);
  fake.client.chat("lobby", { msg: 1 });
  await settle();
  const before = fake.socket.of("chat")[0].id;
  await comeBack(fake, { session: "s_2", resumed: false });
  fake.client.chat("lobby", { msg: 2 });
  await settle();
  const after = fake.socket.of("chat").map((chat) => chat.id);
  assert.equal(after[0], before);
  const other = await started(t.mock.timers.reset() ?? t);
  other.client.chat("lobby", { msg: 1 });
  await settle();
  const ids = [...after, ...other.socket.of("chat").map((chat) => chat.id), fake.socket.of("hello")[0].id];
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(ids.every((id) => Buffer.byteLength(id) <= 64));
});

test("the buffer is bounded: beyond it a chat is refused at once, and room comes back with the acks", async (t) => {
  const fake = await started(t, { buffer: 3 });
  fake.socket.ends(1006);
  for (let msg = 0; msg < 3; msg++) fake.client.chat("lobby", { msg });
  await assert.rejects(fake.client.chat("lobby", { msg: 3 }), { code: "buffer_full" });
  await fake.tick(2000);
  await open(fake);
  const chats = fake.socket.of("chat");
  assert.deepEqual(chats.map((chat) => chat.msg), [0, 1, 2]);
  fake.socket.says(ack(chats[0], 1));
  fake.client.chat("lobby", { msg: 4 });
  await settle();
  assert.equal(fake.socket.of("chat").length, 4);
});

test("the buffer takes 1000 messages by itself", async (t) => {
  const fake = await started(t, { rooms: { lobby: {} } });
  fake.socket.ends(1006);
  let refused = 0;
  for (let msg = 0; msg < 1001; msg++) fake.client.chat("lobby", { msg }).catch(() => refused++);
  await settle();
  assert.equal(refused, 1);
});

test("a signal goes now or never, and needs no ack", async (t) => {
  const fake = await started(t);
  fake.client.rooms.get("lobby").signal({ typing: true });
  await settle();
  assert.deepEqual(fake.socket.of("signal"), [{ data: { typing: true }, type: "signal", room: "lobby" }]);
  fake.client.signal("lobby", "unsent when the line breaks");
  fake.socket.ends(1006);
  fake.client.signal("lobby", "offline");
  await fake.tick(2000);
  await open(fake);
  assert.deepEqual(fake.socket.of("signal"), []);
  fake.socket.bufferedAmount = 2 ** 21;
  fake.client.signal("lobby", "when too much waits to leave");
  await settle();
  assert.deepEqual(fake.socket.of("signal"), []);
});

test("a chat or signal to a room that was not joined is a mistake in the program", async (t) => {
  const fake = await started(t);
  assert.throws(() => fake.client.chat("nowhere", { msg: 1 }), /join the room nowhere first/);
  assert.throws(() => fake.client.signal("nowhere", 1), /join the room nowhere first/);
});

test("what the server sends beside the protocol does no harm", async (t) => {
  const fake = await started(t);
  const errors = record(fake.client, "error");
  const chats = record(fake.client, "chat");
  fake.socket.onmessage({ data: "no JSON" });
  fake.socket.onmessage({ data: "[1,null,[],{}]" });
  fake.socket.says({ type: "news", room: "lobby" }, { type: "ack", id: "unknown" });
  fake.socket.says({ type: "chat", room: "elsewhere" });
  fake.socket.says({ type: "chat", room: "lobby", seq: 1, msg: "hi" });
  assert.deepEqual([errors.map((error) => error.code), chats.length], [["invalid_json"], 1]);
});

test("a listener that throws keeps no other message from being read", async (t) => {
  const fake = await started(t);
  const thrown = [];
  t.mock.method(globalThis, "queueMicrotask", (run) => {
    try {
      run();
    } catch (error) {
      thrown.push(error.message);
    }
  });
  fake.client.on("chat", () => {
    throw new Error("mine");
  });
  const chats = record(fake.client, "chat");
  fake.socket.says({ type: "chat", room: "lobby", seq: 1 }, { type: "chat", room: "lobby", seq: 2 });
  assert.deepEqual([chats.length, thrown], [2, ["mine", "mine"]]);
});

test("when the application closes the client in the middle of an array, the rest is not heard", async (t) => {
  const fake = await started(t);
  const chats = record(fake.client, "chat");
  const errors = record(fake.client, "error");
  fake.client.on("chat", () => fake.client.close());
  const chat = (seq) => ({ type: "chat", room: "lobby", seq });
  fake.socket.says(chat(1), chat(2), { type: "error", code: "internal", message: "" });
  assert.deepEqual([chats.length, errors], [1, []]);
});
