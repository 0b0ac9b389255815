// The shared state of a room: what the server has, own patches on top, compare-and-set, reconnects.

import assert from "node:assert/strict";
import test from "node:test";
import { apply } from "../../src/chat/web/frameloop.js";
import { comeBack, open, record, settle, start, started, welcomeTo } from "./fake.js";

/** A client that follows the state of the room docs. */
async function following(t, state = {}, version = 10, options = {}) {
  const rooms = { docs: { state: true } };
  const fake = await started(t, { rooms, ...options }, { rooms: { docs: { seq: 0, version, state } } });
  fake.room = fake.client.rooms.get("docs");
  return fake;
}

const patch = (version, change, session = "s_b") => ({
  type: "patch",
  room: "docs",
  version,
  from: { session },
  patch: change,
});

/** The server takes the latest patch, or the one at this index. */
function ack(fake, version, index = -1) {
  const { id } = fake.socket.of("patch").at(index);
  fake.socket.says({ type: "ack", id, room: "docs", version });
}

function conflict(fake, version, index = -1) {
  const { id } = fake.socket.of("patch").at(index);
  fake.socket.says({ type: "error", id, code: "version_conflict", message: "", room: "docs", version });
}

test("the state comes with the join, and follows the others' patches", async (t) => {
  const fake = await following(t, { a: 1 });
  const states = [];
  fake.client.on("state", (state, room) => states.push([state, room.name]));
  fake.socket.says(patch(11, { b: 2 }), patch(12, { a: null }));
  assert.deepEqual([fake.room.state, fake.room.version], [{ b: 2 }, 12]);
  assert.deepEqual(states, [
    [{ a: 1, b: 2 }, "docs"],
    [{ b: 2 }, "docs"],
  ]);
});

test("a state replaces all, and a patch that came before it is not applied again", async (t) => {
  const fake = await following(t, { a: 1 });
  fake.socket.says({ type: "state", room: "docs", version: 20, state: { c: 3 } });
  fake.socket.says(patch(20, { a: 9 }));
  assert.deepEqual([fake.room.state, fake.room.version], [{ c: 3 }, 20]);
});

test("an own patch shows at once, and is sent without a base", async (t) => {
  const fake = await following(t, { a: 1 });
  const states = record(fake.room, "state");
  const done = fake.room.update({ a: 2, b: { c: null } });
  assert.deepEqual(fake.room.state, { a: 2, b: {} });
  assert.deepEqual(states, [{ a: 2, b: {} }]);
  await settle();
  const [sent] = fake.socket.of("patch");
  assert.deepEqual([sent.patch, "base" in sent], [{ a: 2, b: { c: null } }, false]);
  ack(fake, 11);
  assert.equal((await done).version, 11);
  assert.deepEqual([fake.room.state, fake.room.version], [{ a: 2, b: {} }, 11]);
});

test("set sends only what changed, and nothing when nothing did", async (t) => {
  const fake = await following(t, { title: "Plan", list: [1], n: { x: 1, y: 2 } });
  fake.room.set({ title: "Plan", n: { x: 1, y: 3 } });
  await settle();
  assert.deepEqual(fake.socket.of("patch")[0].patch, { list: null, n: { y: 3 } });
  assert.equal((await fake.room.set({ ...fake.room.state })).version, 10);
  assert.equal(fake.socket.of("patch").length, 1);
});

test("what is set twice in one turn builds on itself", async (t) => {
  const fake = await following(t);
  fake.room.set({ ...fake.room.state, a: 1 });
  fake.room.set({ ...fake.room.state, b: 2 });
  await settle();
  assert.deepEqual(fake.socket.of("patch").map((message) => message.patch), [{ a: 1 }, { b: 2 }]);
});

test("what cannot be stored is a mistake in the program, and nothing is sent", async (t) => {
  const fake = await following(t);
  assert.throws(() => fake.room.set({ a: { b: null } }), /\/a\/b/);
  assert.throws(() => fake.room.set({ n: NaN }), /\/n/, "JSON makes a null of it");
  assert.throws(() => fake.room.set([1]), TypeError);
  assert.throws(() => fake.room.update("x"), TypeError);
  await settle();
  assert.deepEqual([fake.socket.of("patch"), fake.room.state], [[], {}]);
});

test("what the application does to its object later changes no state", async (t) => {
  const fake = await following(t);
  const mine = { list: [1] };
  fake.room.update(mine);
  mine.list.push(2);
  assert.deepEqual(fake.room.state, { list: [1] });
});

test("a set before the state is known waits for it", async (t) => {
  const fake = await start(t, { rooms: { docs: { state: true } } });
  const done = fake.client.rooms.get("docs").set({ a: 1, b: 2 });
  await open(fake, { rooms: { docs: { version: 4, state: { a: 1, old: true } } } });
  await settle();
  assert.deepEqual(fake.socket.of("patch")[0].patch, { b: 2, old: null });
  ack(fake, 5);
  assert.equal((await done).version, 5);
});

test("without following the state a patch goes out blindly, and there is nothing to set", async (t) => {
  const fake = await started(t);
  const room = fake.client.rooms.get("lobby");
  const done = room.update({ a: 1 });
  await settle();
  ack(fake, 3);
  assert.equal((await done).version, 3);
  await assert.rejects(room.change(() => {}), /state: true/);
});

test("others' patches go under own ones that are on their way, and all end up with the same", async (t) => {
  const fake = await following(t, { a: 0, b: 0 });
  fake.room.update({ a: "mine" });
  await settle();
  fake.socket.says(patch(11, { a: "theirs", b: "theirs" }));
  assert.deepEqual(fake.room.state, { a: "mine", b: "theirs" }, "the own one comes later at the server");
  ack(fake, 12);
  assert.deepEqual([fake.room.state, fake.room.version], [{ a: "mine", b: "theirs" }, 12]);
  fake.socket.says(patch(13, { a: "later" }));
  assert.deepEqual(fake.room.state, { a: "later", b: "theirs" });
});

test("a patch that is refused is taken back", async (t) => {
  const fake = await following(t, { a: 1 });
  const done = fake.room.update({ a: 2 });
  await settle();
  const [{ id }] = fake.socket.of("patch");
  fake.socket.says({ type: "error", id, code: "state_too_large", message: "", room: "docs" });
  await assert.rejects(done, { code: "state_too_large" });
  assert.deepEqual(fake.room.state, { a: 1 });
});

test("an ack and a patch in one array are taken in their order", async (t) => {
  const fake = await following(t);
  fake.room.update({ a: "mine" });
  await settle();
  const [{ id }] = fake.socket.of("patch");
  fake.socket.says({ type: "ack", id, room: "docs", version: 11 }, patch(12, { a: "later" }));
  assert.deepEqual([fake.room.state, fake.room.version], [{ a: "later" }, 12]);
  assert.deepEqual(fake.socket.of("join"), [], "there was no hole");
});

test("after a lost ack the own patch among the replayed ones counts, and is not sent again", async (t) => {
  const fake = await following(t, { n: 0 });
  const done = fake.room.update({ n: 1 });
  await settle();
  await comeBack(fake, { rooms: { docs: { version: 12 } } });
  assert.deepEqual(fake.socket.of("patch"), [], "until it is known whether the server has it");
  fake.socket.says(patch(11, { n: 1 }, "s_1"), patch(12, { n: 2 }));
  await settle();
  assert.deepEqual([fake.room.state, fake.room.version], [{ n: 2 }, 12]);
  assert.equal((await done).version, 11);
  assert.deepEqual(fake.socket.of("patch"), []);
});

test("the same holds for the patches of the session before, when that has expired", async (t) => {
  const fake = await following(t, { n: 0 });
  fake.room.update({ n: 1 });
  await settle();
  await comeBack(fake, { session: "s_2", resumed: false, rooms: { docs: { version: 11 } } });
  fake.socket.says(patch(11, { n: 1 }, "s_1"));
  await settle();
  assert.deepEqual([fake.room.state, fake.socket.of("patch")], [{ n: 1 }, []]);
});

test("an own patch that the server never got is sent again when the replay is over", async (t) => {
  const fake = await following(t, { n: 0 });
  fake.room.update({ n: 1 });
  await settle();
  const [{ id }] = fake.socket.of("patch");
  await comeBack(fake, { rooms: { docs: { version: 11 } } });
  fake.room.update({ m: 1 });
  fake.socket.says(patch(11, { n: 5 }));
  const again = fake.socket.of("patch");
  assert.deepEqual(again.map((message) => message.patch), [{ n: 1 }, { m: 1 }]);
  assert.equal(again[0].id, id);
  assert.deepEqual(fake.room.state, { n: 1, m: 1 });
});

test("after a state instead of patches the own ones are sent again on top of it", async (t) => {
  const fake = await following(t, { n: 0 });
  fake.room.update({ n: 1 });
  await settle();
  await comeBack(fake, { rooms: { docs: { version: 500 } } });
  assert.deepEqual(fake.socket.of("patch"), []);
  fake.socket.says({ type: "state", room: "docs", version: 500, state: { n: 7, x: 1 } });
  assert.deepEqual(fake.room.state, { n: 1, x: 1 });
  assert.equal(fake.socket.of("patch").length, 1);
  ack(fake, 501);
  assert.deepEqual([fake.room.state, fake.room.version], [{ n: 1, x: 1 }, 501]);
});

test("a chat does not wait for a replay of the state", async (t) => {
  const fake = await following(t);
  fake.socket.ends(1006);
  fake.room.update({ n: 1 });
  fake.room.chat({ msg: "hi" });
  await fake.tick(2000);
  await open(fake, { rooms: { docs: { version: 12 } } });
  assert.deepEqual(fake.socket.messages.slice(1).map((message) => message.type), ["chat"]);
});

test("a hole in the versions is closed by asking for the whole state, once", async (t) => {
  const fake = await following(t, { a: 1 });
  fake.socket.says(patch(13, { x: 1 }), patch(14, { x: 2 }));
  await settle();
  const joins = fake.socket.of("join");
  assert.deepEqual([joins.length, joins[0].state, joins[0].since], [1, true, undefined]);
  assert.deepEqual(fake.room.state, { a: 1 }, "a patch after a hole is not applied");
  fake.socket.says({ type: "ack", id: joins[0].id, room: "docs", epoch: "e1", seq: 0, version: 14, state: { x: 2 } });
  fake.socket.says(patch(15, { y: 1 }));
  await settle();
  assert.deepEqual([fake.room.state, fake.room.version], [{ x: 2, y: 1 }, 15]);
});

test("own patches wait while the state is asked for, and then go", async (t) => {
  const fake = await following(t, { a: 1 });
  await comeBack(fake, { rooms: { docs: { version: 12 } } });
  fake.room.update({ m: 1 });
  fake.socket.says(patch(12, { a: 2 }));
  await settle();
  assert.deepEqual(fake.socket.of("patch"), []);
  const [join] = fake.socket.of("join");
  fake.socket.says({ type: "ack", id: join.id, room: "docs", epoch: "e1", seq: 0, version: 12, state: { a: 2 } });
  assert.equal(fake.socket.of("patch").length, 1);
});

test("a version that went back means that the state is another", async (t) => {
  const fake = await following(t, { a: 1 });
  await comeBack(fake, { rooms: { docs: { version: 5 } } });
  fake.socket.says({ type: "state", room: "docs", version: 5, state: { z: 1 } }, patch(6, { y: 1 }));
  assert.deepEqual([fake.room.state, fake.room.version], [{ z: 1, y: 1 }, 6]);
  await comeBack(fake, { rooms: { docs: { version: 3 } } });
  fake.socket.says(patch(4, { x: 1 }));
  await settle();
  assert.equal(fake.socket.of("join").length, 1, "what it is must be asked for");
});

test("an ack that runs ahead of others' patches waits for them", async (t) => {
  const fake = await following(t);
  fake.room.update({ a: "mine" });
  await settle();
  ack(fake, 12);
  assert.deepEqual([fake.room.version, fake.room.state], [10, { a: "mine" }]);
  fake.socket.says(patch(11, { a: "theirs", b: 1 }));
  assert.deepEqual([fake.room.version, fake.room.state], [12, { a: "mine", b: 1 }]);
});

test("another epoch: the old state is not built upon", async (t) => {
  const fake = await following(t, { a: 1 }, 3);
  await comeBack(fake, { rooms: { docs: { epoch: "e2", version: 3 } } });
  fake.room.update({ m: 1 });
  await settle();
  assert.deepEqual(fake.socket.of("patch"), []);
  fake.socket.says({ type: "state", room: "docs", version: 3, state: { z: 1 } });
  assert.deepEqual(fake.room.state, { z: 1, m: 1 });
  assert.equal(fake.socket.of("patch").length, 1);
  await comeBack(fake, { rooms: { docs: { epoch: "e3", version: 0 } } });
  assert.deepEqual(fake.room.state, { m: 1 }, "version 0 is {}");
});

test("change is compare-and-set with the version that its function saw", async (t) => {
  const fake = await following(t, { n: 1 });
  const done = fake.room.change((state) => {
    state.n += 1;
  });
  await settle();
  const [sent] = fake.socket.of("patch");
  assert.deepEqual([sent.patch, sent.base], [{ n: 2 }, 10]);
  assert.deepEqual(fake.room.state, { n: 2 });
  ack(fake, 11);
  assert.equal((await done).version, 11);
});

test("change takes what its function returns, and sends nothing when nothing changed", async (t) => {
  const fake = await following(t, { n: 1 });
  await fake.room.change((state) => ({ ...state }));
  assert.equal(fake.socket.of("patch").length, 0);
  fake.room.change(() => ({ m: 1 }));
  await settle();
  assert.deepEqual(fake.socket.of("patch")[0].patch, { m: 1, n: null });
});

test("on a conflict change calls its function again with the new state", async (t) => {
  const fake = await following(t, { n: 1 });
  const done = fake.room.change((state) => void (state.n += 1));
  await settle();
  fake.socket.says(patch(11, { n: 5 }));
  conflict(fake, 11);
  await settle();
  const sent = fake.socket.of("patch")[1];
  assert.deepEqual([sent.patch, sent.base], [{ n: 6 }, 11]);
  ack(fake, 12);
  assert.equal((await done).version, 12);
  assert.deepEqual(fake.room.state, { n: 6 });
});

test("a conflict with a version that has not come yet asks for the state first", async (t) => {
  const fake = await following(t, { n: 1 });
  fake.room.change((state) => void (state.n += 1));
  await settle();
  conflict(fake, 12);
  await settle();
  assert.equal(fake.socket.of("patch").length, 1);
  const [join] = fake.socket.of("join");
  fake.socket.says({ type: "ack", id: join.id, room: "docs", epoch: "e1", seq: 0, version: 12, state: { n: 8 } });
  await settle();
  const sent = fake.socket.of("patch")[1];
  assert.deepEqual([sent.patch, sent.base], [{ n: 9 }, 12]);
});

test("change gives up after a bounded number of conflicts, and takes its patch back", async (t) => {
  const fake = await following(t, { n: 1 }, 10, { changes: 3 });
  const errors = record(fake.client, "error");
  const done = fake.room.change((state) => void (state.n = "mine"));
  for (let version = 11; version <= 13; version++) {
    await settle();
    fake.socket.says(patch(version, { n: version }));
    conflict(fake, version);
  }
  await assert.rejects(done, { code: "version_conflict" });
  await settle();
  assert.deepEqual([fake.socket.of("patch").length, fake.room.state], [3, { n: 13 }]);
  assert.deepEqual(errors.map(({ code }) => code), ["version_conflict"], "one that is tried again is no error");
});

test("change gives up at once on any other error, and on one of its function", async (t) => {
  const loud = t.mock.fn();
  process.on("unhandledRejection", loud);
  t.after(() => process.off("unhandledRejection", loud));
  const fake = await following(t);
  const done = fake.room.change((state) => void (state.n = 1));
  await settle();
  const [{ id }] = fake.socket.of("patch");
  fake.socket.says({ type: "error", id, code: "forbidden", message: "read only", room: "docs" });
  await assert.rejects(done, { code: "forbidden" });
  const mistake = () => {
    throw new RangeError("mine");
  };
  await assert.rejects(fake.room.change(mistake), RangeError);
  await settle();
  assert.equal(loud.mock.callCount(), 0, "all errors were handled");
});

test("who ignores a promise is not stopped by an error, which is an event", async (t) => {
  const loud = t.mock.fn();
  process.on("unhandledRejection", loud);
  t.after(() => process.off("unhandledRejection", loud));
  const fake = await following(t);
  const errors = record(fake.client, "error");
  fake.room.change((state) => void (state.n = 1));
  fake.client.join("elsewhere");
  await settle();
  fake.socket.ends(4002, "kicked");
  await settle();
  assert.deepEqual([errors.length, loud.mock.callCount()], [2, 0]);
});

test("many changes at a time take turns", async (t) => {
  const fake = await following(t, { n: 0 });
  const done = Promise.all(Array.from({ length: 20 }, () => fake.room.change((state) => void (state.n += 1))));
  for (let version = 11; version <= 30; version++) {
    await settle();
    assert.equal(fake.socket.of("patch").length, version - 10, "one at a time");
    ack(fake, version);
  }
  await done;
  assert.deepEqual(fake.room.state, { n: 20 });
});

test("a change that was on its way into another epoch is made anew for the new state", async (t) => {
  const fake = await following(t, { n: 1 }, 3);
  const done = fake.room.change((state) => void (state.n = (state.n ?? 0) + 1));
  await settle();
  await comeBack(fake, { rooms: { docs: { epoch: "e2", version: 3, state: { n: 100 } } } });
  await settle();
  const sent = fake.socket.of("patch");
  assert.deepEqual(sent.map(({ patch, base }) => [patch, base]), [[{ n: 101 }, 3]]);
  ack(fake, 4);
  await done;
});

/** A server with one room, whose acks and lines get lost. */
class LossyServer {
  state = {};
  log = [];
  session = 1;
  online = true;
  #fake;
  #seen = 1; // of the messages on this connection; the first is the hello

  constructor(fake) {
    this.#fake = fake;
  }

  take(from, change) {
    this.state = apply(this.state, change);
    this.log.push(patch(this.log.length + 1, change, from));
  }

  /** Another client changes the state. */
  other(change) {
    this.take("s_b", change);
    if (this.online) this.#fake.socket.says(this.log.at(-1));
  }

  /** Takes what came. */
  serve(acks = true) {
    const { socket } = this.#fake;
    for (const message of socket.messages.slice(this.#seen)) {
      this.take(`s_${this.session}`, message.patch);
      if (acks) socket.says({ type: "ack", id: message.id, room: "docs", version: this.log.length });
    }
    this.#seen = socket.messages.length;
  }

  breakLine(acksAreLost) {
    this.serve(!acksAreLost);
    this.#fake.socket.ends(1006);
    this.online = false;
  }

  async comeBack({ newSession = false, whole = false } = {}) {
    await this.#fake.tick(2000);
    const { socket } = this.#fake;
    socket.opens();
    if (newSession) this.session += 1;
    const { version } = socket.of("hello")[0].rooms.docs.since;
    const head = this.log.length;
    socket.says(welcomeTo(socket, { session: `s_${this.session}`, rooms: { docs: { version: head } } }));
    if (whole) socket.says({ type: "state", room: "docs", version: head, state: this.state });
    else if (head > version) socket.says(...this.log.slice(version));
    this.#seen = 1;
    this.online = true;
  }
}

test("whatever gets lost, client and server end up with the same state", async (t) => {
  let seed = 1;
  const random = (below) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let round = 0; round < 50; round++) {
    const fake = await following(t, {}, 0);
    const server = new LossyServer(fake);
    for (let step = 0; step < 30; step++) {
      const change = { [`k${random(3)}`]: random(4) === 0 ? null : random(100) };
      const what = random(5);
      if (what === 0) server.other(change);
      else if (what === 1 && server.online) server.breakLine(random(2) === 0);
      else if (what === 2 && !server.online) {
        await server.comeBack({ newSession: random(3) === 0, whole: random(4) === 0 });
      } else fake.room.update(change);
      await settle();
      if (server.online && random(2) === 0) server.serve();
    }
    if (!server.online) await server.comeBack();
    await settle();
    server.serve();
    assert.deepEqual([fake.room.state, fake.room.version], [server.state, server.log.length], `round ${round}`);
    fake.client.close();
    t.mock.timers.reset();
  }
});

test("what waits is shown at once, and its acks change nothing of what is shown", async (t) => {
  const fake = await following(t, { a: 1 });
  for (let n = 0; n < 900; n++) fake.room.update({ [`n${n % 10}`]: n, a: n % 7 === 0 ? null : n });
  await settle();
  const shown = fake.room.state;
  assert.deepEqual([shown.n9, shown.a], [899, 899]);
  let { version } = fake.room;
  for (const { id } of fake.socket.of("patch")) fake.socket.says({ type: "ack", id, room: "docs", version: ++version });
  assert.deepEqual([fake.room.state, fake.room.version], [shown, version]);
  fake.socket.says(patch(version + 1, { a: null }));
  const { a, ...others } = shown;
  assert.deepEqual(fake.room.state, others, `all but ${a}`);
});
