// Pages that come, go, lose their line and edit together.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { Server, connect, events, until, visit } from "./harness.js";

const say = (page, members) => page.evaluate((members) => window.client.chat("lobby", members), members);
const heard = async (page) => (await events(page, "chat")).map(({ msg }) => msg);
const hears = (page, msg) => until(page, (msg) => window.events.some(({ value }) => value?.msg === msg), msg);

test("two pages chat, and nobody hears itself", async () => {
  const server = await Server.start();
  const [ann, bob] = [await visit(server.page), await visit(server.page)];
  for (const page of [ann, bob]) await connect(page);
  assert.equal((await say(ann, { msg: "hi from Ann" })).seq, 1);
  await hears(bob, "hi from Ann");
  assert.equal((await say(bob, { msg: "hi from Bob", color: "red" })).seq, 2);
  await hears(ann, "hi from Bob");
  assert.deepEqual([await heard(ann), await heard(bob)], [["hi from Bob"], ["hi from Ann"]]);
  const [chat] = await events(ann, "chat");
  assert.deepEqual([chat.color, chat.from.session], ["red", await bob.evaluate(() => window.client.session)]);
  assert.deepEqual([ann.problems, bob.problems], [[], []]);
  await server.end("SIGTERM");
});

test("a page that is loaded again knows from where it missed what was said", async () => {
  const server = await Server.start();
  const [ann, bob] = [await visit(server.page), await visit(server.page)];
  for (const page of [ann, bob]) await connect(page);
  await say(ann, { msg: "one" });
  await hears(bob, "one");
  const since = await bob.evaluate(() => {
    const { epoch, seq } = window.client.rooms.get("lobby");
    return { epoch, seq };
  });
  await bob.goto("about:blank");
  await say(ann, { msg: "two" });
  await bob.goto(server.page);
  await connect(bob, { rooms: { lobby: { since } } });
  await hears(bob, "two");
  await say(ann, { msg: "three" });
  await hears(bob, "three");
  assert.deepEqual(await heard(bob), ["two", "three"]);
  assert.deepEqual(await events(bob, "gap"), []);
  await server.end("SIGTERM");
});

test("a page without a network waits, and comes back with what was said meanwhile", async () => {
  const server = await Server.start();
  const [ann, bob] = [await visit(server.page), await visit(server.page)];
  await connect(ann);
  await connect(bob, { baseMs: 50, attempts: 2 });
  const session = await bob.evaluate(() => window.client.session);
  // To be offline does not end a WebSocket that is open, but lets no new one begin.
  await bob.context().setOffline(true);
  await bob.evaluate(() => window.client.reconnect());
  await until(bob, () => window.client.status.state === "offline");
  const asked = bob.evaluate(() => window.client.chat("lobby", { msg: "said offline" }));
  for (const msg of ["one", "two"]) await say(ann, { msg });
  await bob.context().setOffline(false);
  await until(bob, () => window.client.status.state === "open");
  await hears(bob, "two");
  assert.equal((await asked).seq, 3);
  await hears(ann, "said offline");
  assert.deepEqual([await heard(bob), await heard(ann)], [["one", "two"], ["said offline"]]);
  assert.equal(await bob.evaluate(() => window.client.session), session, "the session was resumed");
  await server.end("SIGTERM");
});

test("a tab that is closed leaves after the grace", async () => {
  const server = await Server.start({ args: ["--static", "site", "--presence-grace", "300ms"].map(sited) });
  const [ann, bob] = [await visit(server.page), await visit(server.page)];
  await connect(ann, { info: { name: "Ann" }, rooms: { lobby: { presence: true } } });
  await connect(bob, { info: { name: "Bob" }, rooms: { lobby: { presence: true } } });
  const session = await bob.evaluate(() => window.client.session);
  const isThere = (session) => window.client.rooms.get("lobby").members.has(session);
  await until(ann, isThere, session);
  assert.deepEqual(await ann.evaluate((session) => window.client.rooms.get("lobby").members.get(session).info, session), { name: "Bob" });
  await bob.close();
  await until(ann, (session) => !window.client.rooms.get("lobby").members.has(session), session);
  assert.equal((await events(ann, "leave"))[0].session, session);
  await server.end("SIGTERM");
});

test("a server that is stopped tells its pages when to come back, and they do", async () => {
  const first = await Server.start();
  const ann = await visit(first.page);
  await connect(ann, { baseMs: 50 });
  const session = await ann.evaluate(() => window.client.session);
  assert.equal(await first.end("SIGTERM"), 0);
  const status = await until(ann, () => window.events.find(({ event, value }) => event === "status" && value.code)?.value);
  assert.deepEqual([status.state, status.code, status.reason], ["waiting", 1012, "restart"]);
  const second = await Server.start({ port: first.port });
  await until(ann, (session) => window.client.status.state === "open" && window.client.session !== session, session);
  assert.equal((await say(ann, { msg: "back" })).seq, 1);
  await second.end("SIGTERM");
});

test("three tabs that edit at once end up with the same, and no count is lost", async () => {
  const server = await Server.start();
  const pages = await Promise.all([1, 2, 3].map(() => visit(server.page)));
  for (const page of pages) await connect(page, { rooms: { lobby: { state: true } }, changes: 1000 });
  const edits = pages.map((page, i) => {
    return page.evaluate(async (own) => {
      const room = window.client.rooms.get("lobby");
      for (let n = 1; n <= 20; n++) {
        room.set({ ...room.state, [`tab${own}`]: n, last: { by: own, n } });
        await room.change((state) => void (state.count = (state.count ?? 0) + 1));
      }
    }, i);
  });
  await Promise.all(edits);
  const states = await Promise.all(pages.map((page) => until(page, () => {
    const { state } = window.client.rooms.get("lobby");
    return state.count === 60 && [0, 1, 2].every((tab) => state[`tab${tab}`] === 20) && state;
  })));
  const versions = await Promise.all(pages.map((page) => page.evaluate(() => window.client.rooms.get("lobby").version)));
  assert.deepEqual([states[1], states[2]], [states[0], states[0]]);
  assert.equal(new Set(versions).size, 1, `${versions}`);
  await server.end("SIGTERM");
});

test("pages as their authors first wrote them chat beside", async () => {
  const server = await Server.start();
  const ann = await visit(server.page);
  await connect(ann);
  const seeds = [];
  for (const script of ["seed-simple.js", "seed-backoff.js"]) {
    const page = await visit(server.page);
    const lines = [];
    page.on("console", (message) => lines.push(JSON.parse(message.text())));
    const source = readFileSync(new URL(`../../binary/clients/${script}`, import.meta.url), "utf8");
    // They are run by Node elsewhere, and take the port from there.
    await page.evaluate((port) => (window.process = { argv: ["", "", String(port)] }), server.port);
    await page.addScriptTag({ content: source });
    seeds.push(lines);
    await hears(ann, "hello server");
  }
  await until(ann, () => window.events.filter(({ value }) => value?.msg === "hello server").length === 2);
  await say(ann, { msg: "hi", n: 1 });
  await waitFor(() => seeds.every((lines) => lines.some(({ data }) => data === '{"type":"chat","msg":"hi","n":1}')));
  assert.deepEqual(seeds[1].filter(({ event }) => event === "error"), []);
  await server.end("SIGTERM");
});

function sited(arg) {
  return arg === "site" ? new URL("site", import.meta.url).pathname : arg;
}

/** Looks again and again, as events come in. */
async function waitFor(isSo) {
  const deadline = Date.now() + 30_000;
  while (!isSo()) {
    assert.ok(Date.now() < deadline, `it does not become so: ${isSo}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
