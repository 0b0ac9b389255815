// Signed tokens, which end: the client comes back with a new one, or renews it before, and loses nothing.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import test from "node:test";
import { EMPTY_PAGE, Folder, Server, begin, connect, events, numbers, speak, until, upTo, visit } from "./harness.js";

const SECRET = "a secret of the tests, of more than thirty-two bytes";
/** The server is so lenient with clocks. */
const LEEWAY_S = 30;
const COUNT = 1000;

/** A token that the server takes for so many seconds more: none or one more than said, for it counts whole ones. */
function sign(sub, seconds) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.ceil(Date.now() / 1000) + seconds - LEEWAY_S;
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub, exp })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

function start(args = EMPTY_PAGE) {
  const file = new Folder().write("secret", `${SECRET}\n`);
  return Server.start({ full: true, args: [...args, "--auth", "jwt", "--jwt-secret-file", file] });
}

test("a client whose token is over returns at once with a new one, in its session, and misses nothing", async () => {
  const server = await start();
  const [ann, bob] = [await visit(server.page), await visit(server.page)];
  let asked = 0;
  // Were it to back off, it would not come back in our lifetime.
  const options = { baseMs: 1e9, maxMs: 1e9, buffer: COUNT };
  await connect(bob, { token: sign("bob", 3600), buffer: COUNT });
  await connect(ann, options, () => sign("ann", ++asked === 1 ? 4 : 3600));
  const session = await ann.evaluate(() => window.client.session);
  // For 6 s: the token ends in the midst of it.
  for (const page of [ann, bob]) await speak(page, COUNT, 30);
  for (const page of [ann, bob]) {
    await until(page, (count) => window.acked.length === count, COUNT);
    await until(page, (count) => window.events.some(({ event, value }) => event === "chat" && value.n === count), COUNT);
    assert.deepEqual(await numbers(page), upTo(COUNT));
  }
  assert.equal(asked, 2);
  assert.equal(await ann.evaluate(() => window.client.session), session);
  const states = (await events(ann, "status")).map(({ state, code }) => [state, code]);
  assert.deepEqual(states, [["open", undefined], ["waiting", 4200], ["connecting", 4200], ["open", undefined]]);
  assert.deepEqual([await events(ann, "error"), ann.problems, bob.problems], [[], [], []]);
  await server.end("SIGTERM");
});

for (const [when, seconds] of [["has ended before", -10], ["ends while it is there", 2]]) {
  test(`a client that has only one token, which ${when}, does not call the server in a circle`, async () => {
    const server = await start();
    const page = await visit(server.page);
    let asked = 0;
    const token = sign("ann", seconds);
    await begin(page, { baseMs: 50, attempts: 3 }, () => (asked++, token));
    await until(page, () => window.client.status.state === "offline");
    const { code, reason } = await page.evaluate(() => window.client.status);
    assert.deepEqual([code, reason, asked], [4200, "token_expired", 4]);
    const waits = (await events(page, "status")).filter(({ state }) => state === "waiting");
    assert.deepEqual(waits.map(({ attempt, code }) => [attempt, code]), [[1, 4200], [2, 4200], [3, 4200]]);
    const errors = (await events(page, "error")).map(({ code }) => code);
    assert.deepEqual(errors, Array(seconds < 0 ? 4 : 3).fill("token_expired"));
    await server.end("SIGTERM");
  });
}

test("a token that is renewed in time keeps its line beyond the end of the old one", async () => {
  const server = await start();
  const [ann, twin] = [await visit(server.page), await visit(server.page)];
  const first = sign("ann", 3);
  let token = first;
  await connect(ann, {}, () => token);
  await connect(twin, { token: first });
  token = "not.a.token";
  const refused = ann.evaluate(() => window.client.reauth().catch(({ code }) => code));
  assert.equal(await refused, "unauthorized");
  token = sign("bob", 3600);
  assert.equal(await ann.evaluate(() => window.client.reauth().catch(({ code }) => code)), "forbidden");
  token = sign("ann", 3600);
  await ann.evaluate(() => window.client.reauth());
  await until(twin, () => window.events.some(({ event, value }) => event === "status" && value.code === 4200));
  await ann.evaluate(() => window.client.chat("lobby", { msg: "still here" }));
  assert.deepEqual((await events(ann, "status")).map(({ state }) => state), ["open"]);
  await server.end("SIGTERM");
});

test("the demo page asks for another token when its own is over", async () => {
  const server = await start([]);
  const page = await visit(server.page);
  const enter = async (token) => {
    await page.fill("#token", token);
    await page.press("#token", "Enter");
  };
  await page.locator("#token-form").waitFor();
  await enter(sign("ann", 2));
  await page.waitForSelector("#status[data-state=open]");
  await page.fill("#message", "said with the first");
  await page.press("#message", "Enter");
  await page.waitForSelector(".say.own[data-state=delivered]");
  await page.locator("#token-form").waitFor();
  await enter(sign("ann", 3600));
  await page.waitForSelector("#status[data-state=open]");
  await page.fill("#message", "and with the second");
  await page.press("#message", "Enter");
  await until(page, () => document.querySelectorAll(".say.own[data-state=delivered]").length === 2);
  const texts = await page.locator("#log .say .text").allTextContents();
  assert.deepEqual(texts, ["said with the first", "and with the second"]);
  assert.deepEqual(page.problems, []);
  await server.end("SIGTERM");
});
