// Servers that want a token: how pages show one, what they are told without, and what the rights of one allow.

import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY_PAGE, Folder, Server, begin, connect, events, plainSocket, until, visit } from "./harness.js";

const TOKENS = `
ann:a-1
ann:a-2 rooms=docs*,lobby read=news
bob:b-1
`;

/** A server with these tokens. It reads its list again by `give`. */
async function start(args = EMPTY_PAGE) {
  const folder = new Folder();
  const file = folder.write("tokens", TOKENS);
  const server = await Server.start({ args: [...args, "--auth", "token", "--token-file", file] });
  server.give = (tokens) => {
    folder.write("tokens", tokens);
    server.process.kill("SIGHUP");
  };
  return server;
}

test("the client comes in with a token, and with a function that gives one", async () => {
  const server = await start();
  const [ann, bob] = [await visit(server.page), await visit(server.page)];
  await connect(ann, { token: "a-1" });
  await connect(bob, {}, async () => "b-1");
  await bob.evaluate(() => window.client.chat("lobby", { msg: "hi" }));
  const chat = await until(ann, () => window.events.find(({ event }) => event === "chat")?.value);
  assert.deepEqual([chat.msg, chat.from.user], ["hi", "bob"]);
  assert.equal(await ann.evaluate(() => window.client.user), "ann");
  assert.deepEqual([ann.problems, bob.problems], [[], []]);
  await server.end("SIGTERM");
});

for (const [what, given] of [["a wrong token", "wrong"], ["no token", undefined]]) {
  test(`with ${what} the client stops with 4001, and says so`, async () => {
    const server = await start();
    const page = await visit(server.page);
    let token = given;
    await begin(page, {}, () => token);
    const joined = page.evaluate(() => window.client.join("lobby").catch(({ code }) => code));
    await until(page, () => window.client.status.state === "stopped");
    const { code, reason, attempt } = await page.evaluate(() => window.client.status);
    assert.deepEqual({ code, reason, attempt }, { code: 4001, reason: "unauthorized", attempt: 0 });
    assert.equal(await joined, "stopped");
    assert.equal((await events(page, "error"))[0].code, "unauthorized");
    assert.equal((await events(page, "status")).filter(({ state }) => state === "connecting").length, 0, "it does not try again");
    token = "b-1";
    await page.evaluate(() => window.client.reconnect());
    await until(page, () => window.client.status.state === "open");
    assert.equal(await page.evaluate(() => window.client.user), "bob");
    await server.end("SIGTERM");
  });
}

test("a page without the client shows its token as a subprotocol, and the browser takes the answer", async () => {
  const server = await start();
  const page = await visit(server.page);
  const sockets = async (...protocols) => plainSocket(page, server.socket, protocols);
  const plain = { opened: true, protocol: "frameloop.plain", told: "welcome", user: "ann" };
  assert.deepEqual(await sockets("frameloop.plain", "bearer.a-1"), plain);
  assert.deepEqual(await sockets("bearer.a-1", "frameloop.v1"), { ...plain, protocol: "frameloop.v1" });
  assert.deepEqual(page.problems, []);
  await server.end("SIGTERM");
});

test("a page without the client and without a good token can read why it is closed", async () => {
  const server = await start();
  const page = await visit(server.page);
  const told = { opened: true, told: "unauthorized", code: 4001, reason: "unauthorized" };
  assert.deepEqual(await plainSocket(page, server.socket), { ...told, protocol: "" });
  const protocols = ["frameloop.plain", "bearer.wrong"];
  assert.deepEqual(await plainSocket(page, server.socket, protocols), { ...told, protocol: "frameloop.plain" });
  assert.deepEqual(page.problems, []);
  await server.end("SIGTERM");
});

test("the cookie of the page's own site is a token, if the server says which one", async () => {
  const [server, other] = [await start([...EMPTY_PAGE, "--auth-cookie", "sid"]), await start()];
  const page = await visit(server.page);
  await page.evaluate(() => (document.cookie = "sid=b-1; SameSite=Strict"));
  assert.deepEqual(await plainSocket(page, server.socket), { opened: true, protocol: "", told: "welcome", user: "bob" });
  await connect(page);
  assert.equal(await page.evaluate(() => window.client.user), "bob");
  assert.equal((await plainSocket(page, other.socket)).code, 4001, "a cookie is no token by itself");
  await page.evaluate(() => (document.cookie = "sid=wrong; SameSite=Strict"));
  assert.equal((await plainSocket(page, server.socket)).code, 4001);
  assert.deepEqual(page.problems, []);
  for (const each of [server, other]) await each.end("SIGTERM");
});

test("the demo page asks for a token, takes one, and still has it after a reload", async () => {
  const server = await start([]);
  const page = await visit(`${server.page}?room=docs-1`);
  const form = page.locator("#token-form");
  const enter = async (token) => {
    await page.fill("#token", token);
    await page.press("#token", "Enter");
  };
  await form.waitFor();
  await page.waitForSelector("#status[data-state=stopped]");
  assert.match(await page.locator("#log").textContent(), /The server says: a token is required/);
  await enter("wrong");
  await until(page, () => document.querySelector("#log").textContent.includes("the token is not accepted"));
  await form.waitFor();
  await enter(" a-2 ");
  await page.waitForSelector("#status[data-state=open]");
  await form.waitFor({ state: "hidden" });
  await page.fill("#message", "I am in");
  await page.press("#message", "Enter");
  await page.waitForSelector(".say.own[data-state=delivered]");
  await page.reload();
  await page.waitForSelector("#status[data-state=open]");
  await until(page, () => document.querySelector("#log .say .text")?.textContent === "I am in");
  assert.equal(await form.isVisible(), false);
  assert.deepEqual(page.problems, []);
  await server.end("SIGTERM");
});

test("a room without a right to it is refused, and so is a chat where only reading is allowed", async () => {
  const server = await start();
  const page = await visit(server.page);
  await connect(page, { token: "a-2", rooms: { "docs-1": {}, news: {} } });
  const join = page.evaluate(() => window.client.join("secret").catch(({ code }) => code));
  assert.equal(await join, "forbidden");
  const chat = page.evaluate(() => window.client.chat("news", { msg: "x" }).catch(({ code }) => code));
  assert.equal(await chat, "forbidden");
  // A signal has no answer of its own; it does not cost the room.
  await page.evaluate(() => window.client.signal("news", { typing: true }));
  await until(page, () => window.events.filter(({ event, room }) => event === "error" && room === "news").length === 2);
  assert.equal((await page.evaluate(() => window.client.chat("docs-1", { msg: "x" }))).seq, 1);
  assert.deepEqual(await page.evaluate(() => [...window.client.rooms.keys()]), ["docs-1", "news"]);
  assert.deepEqual(page.problems, []);
  await server.end("SIGTERM");
});

for (const by of ["auth", "the list of tokens"]) {
  test(`a room that is lost by ${by} with fewer rights is told, and the client is out of it`, async () => {
    const server = await start();
    const [ann, bob] = [await visit(server.page), await visit(server.page)];
    let token = "a-1";
    await connect(ann, { rooms: { secret: { presence: true }, "docs-1": {} } }, () => token);
    await connect(bob, { token: "b-1", rooms: { secret: { presence: true }, "docs-1": {} } });
    if (by === "auth") {
      token = "a-2";
      await ann.evaluate(() => window.client.reauth());
    } else {
      server.give(TOKENS.replace("a-1", "a-1 rooms=docs*"));
    }
    await until(ann, () => !window.client.rooms.has("secret"));
    const lost = await ann.evaluate(() => window.events.filter(({ event }) => event === "error"));
    assert.deepEqual(new Set(lost.map(({ value, room }) => `${room}: ${value.code}`)), new Set(["secret: forbidden"]));
    await until(bob, () => window.events.some(({ event }) => event === "leave"));
    // The rest goes on, and what is said there is not heard any more.
    await bob.evaluate(() => window.client.chat("secret", { msg: "among us" }));
    await bob.evaluate(() => window.client.chat("docs-1", { msg: "for all" }));
    await until(ann, () => window.events.some(({ event }) => event === "chat"));
    assert.deepEqual((await events(ann, "chat")).map(({ msg }) => msg), ["for all"]);
    assert.equal((await ann.evaluate(() => window.client.chat("docs-1", { msg: "yes" }))).seq, 2);
    assert.equal(await ann.evaluate(() => window.client.status.state), "open");
    await server.end("SIGTERM");
  });
}
