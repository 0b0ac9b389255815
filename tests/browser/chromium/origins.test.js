// Pages of other sites: who may open a WebSocket to a server on this machine, and who may not.

import assert from "node:assert/strict";
import test from "node:test";
import { EMPTY_PAGE, FOREIGN, Server, plainSocket, serveSite, visit } from "./harness.js";

const REFUSED = { opened: false, code: 1006, reason: "" };
const LET_IN = { opened: true, protocol: "", told: "welcome" };

/** The browser names the status on its console only. */
function takeProblems(page) {
  return page.problems.splice(0).map((problem) => /response code: \d+|status of \d+/.exec(problem)?.[0] ?? problem);
}

test("a page of another site opens no WebSocket, but where --origin names it", async (t) => {
  const site = await serveSite(t);
  const origin = `http://${FOREIGN}:${site.port}`;
  const [closed, open] = [await Server.start(), await Server.start({ args: [...EMPTY_PAGE, "--origin", origin] })];
  const page = await visit(origin);
  assert.deepEqual(await plainSocket(page, closed.socket), REFUSED);
  assert.deepEqual(await plainSocket(page, closed.socket, ["frameloop.v1"]), REFUSED);
  assert.deepEqual(takeProblems(page), ["response code: 403", "response code: 403"]);
  assert.deepEqual(await plainSocket(page, open.socket), LET_IN);
  // Nobody else is let in by that: not another port of the same name, and not the same port of another name.
  const other = await serveSite(t);
  await page.goto(`http://${FOREIGN}:${other.port}`);
  assert.deepEqual(await plainSocket(page, open.socket), REFUSED);
  assert.deepEqual(takeProblems(page), ["response code: 403"]);
  for (const server of [closed, open]) await server.end("SIGTERM");
});

test("a page of this machine may connect, on whatever port it is", async (t) => {
  const site = await serveSite(t);
  const server = await Server.start();
  for (const host of ["localhost", "127.0.0.1"]) {
    const page = await visit(`http://${host}:${site.port}`);
    assert.deepEqual(await plainSocket(page, server.socket), LET_IN, host);
    assert.deepEqual(page.problems, []);
  }
  await server.end("SIGTERM");
});

test("a site whose name comes to lead to this machine gets no page and no WebSocket (DNS rebinding)", async (t) => {
  // First the name is the site's own server. Then, on the same port, it is ours: for the browser still the same site.
  const site = await serveSite(t);
  const origin = `http://${FOREIGN}:${site.port}`;
  const page = await visit(origin);
  await site.end();
  const server = await Server.start({ port: site.port });
  assert.deepEqual(await plainSocket(page, `ws://${FOREIGN}:${site.port}/`), REFUSED);
  assert.equal(await page.evaluate(async () => (await fetch("/frameloop.js")).status), 403);
  assert.deepEqual(takeProblems(page), ["response code: 403", "status of 403"]);
  const document = await page.goto(origin);
  assert.equal(document.status(), 403);
  assert.doesNotMatch(await document.text(), /a page of a test/);
  const own = await visit(server.page);
  assert.deepEqual(await plainSocket(own, server.socket), LET_IN, "it is there, under its own name");
  await server.end("SIGTERM");
});

test("a sandboxed frame is no page of ours, unless --origin null says so", async () => {
  const [closed, open] = [await Server.start(), await Server.start({ args: [...EMPTY_PAGE, "--origin", "null"] })];
  const page = await visit(closed.page);
  /** Whether a frame with this sandbox opens a WebSocket, and of what origin it is. */
  const tryFrame = (sandbox, url) => page.evaluate(([sandbox, url]) => new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.sandbox = sandbox;
    frame.srcdoc = `<script>
      const socket = new WebSocket(${JSON.stringify(url)});
      const tell = (opened) => parent.postMessage({ origin: self.origin, opened }, "*");
      socket.onopen = () => tell(true);
      socket.onclose = () => tell(false);
    </${"script"}>`;
    addEventListener("message", ({ data }) => resolve(data), { once: true });
    document.body.replaceChildren(frame);
  }), [sandbox, url]);
  assert.deepEqual(await tryFrame("allow-scripts", closed.socket), { origin: "null", opened: false });
  assert.deepEqual(takeProblems(page), ["response code: 403"]);
  assert.deepEqual(await tryFrame("allow-scripts", open.socket), { origin: "null", opened: true });
  const own = { origin: closed.page.slice(0, -1), opened: true };
  assert.deepEqual(await tryFrame("allow-scripts allow-same-origin", closed.socket), own);
  for (const server of [closed, open]) await server.end("SIGTERM");
});
