// Messages that are compressed (RFC 7692), with the browser's own offer.

import assert from "node:assert/strict";
import { test } from "node:test";
import { EMPTY_PAGE, Server, connect, until, visit } from "./harness.js";

const people = (count) => Array.from({ length: count }, (_, id) => ({ id, name: `player-${(id * 7919) % 1000} é€😀`, alive: true }));

for (const how of ["shared", "takeover"]) {
  test(`two pages chat, and what they say is compressed (${how})`, async () => {
    const server = await Server.start({ args: [...EMPTY_PAGE, "--compress", how], full: true });
    const [ann, bob] = [await visit(server.page), await visit(server.page)];
    for (const page of [ann, bob]) {
      await page.evaluate(async (url) => {
        window.heard = [];
        window.socket = new WebSocket(url);
        window.socket.onmessage = ({ data }) => window.heard.push(data);
        await new Promise((resolve, reject) => Object.assign(window.socket, { onopen: resolve, onclose: reject }));
      }, server.socket);
      assert.match(await page.evaluate(() => window.socket.extensions), /^permessage-deflate/);
    }
    const said = [1, 10, 1000, 5000].map((count) => JSON.stringify({ type: "chat", msg: people(count) }));
    await ann.evaluate((said) => said.forEach((text) => window.socket.send(text)), said);
    await until(bob, (count) => window.heard.length === count, said.length);
    assert.deepEqual(await bob.evaluate(() => window.heard), said);
    assert.deepEqual([ann.problems, bob.problems], [[], []]);
    await server.end("SIGTERM");
  });

  test(`sessions keep a state over compressed lines (${how})`, async () => {
    const server = await Server.start({ args: [...EMPTY_PAGE, "--compress", how], full: true });
    const [ann, bob] = [await visit(server.page), await visit(server.page)];
    for (const page of [ann, bob]) await connect(page);
    await bob.evaluate(() => window.client.join("lobby"));
    await ann.evaluate(async (msg) => {
      await window.client.join("lobby");
      for (let n = 0; n < 20; n += 1) await window.client.chat("lobby", { n, msg });
    }, people(100));
    const last = await until(bob, () => window.events.filter(({ event }) => event === "chat").at(19)?.value);
    assert.deepEqual([last.n, last.msg], [19, people(100)]);
    assert.deepEqual([ann.problems, bob.problems], [[], []]);
    await server.end("SIGTERM");
  });
}
