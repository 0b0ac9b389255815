// A server that takes only so much: the client waits as it is told, and what was said arrives all the same.

import assert from "node:assert/strict";
import test from "node:test";
import { EMPTY_PAGE, Server, connect, events, numbers, until, upTo, visit } from "./harness.js";

// At once the server takes 40, refuses 40 more, and closes whoever goes on.
const RATE = 20;

for (const [count, what, states] of [
  [60, "is not closed", ["open"]],
  [100, "is closed and comes back", ["open", "waiting", "connecting", "open"]],
]) {
  test(`a page that says ${count} chats at once ${what}, and all of them arrive in order`, async () => {
    const server = await Server.start({ args: [...EMPTY_PAGE, "--rate", String(RATE)] });
    const [ann, bob] = [await visit(server.page), await visit(server.page)];
    for (const page of [ann, bob]) await connect(page);
    const seqs = await ann.evaluate(async (count) => {
      const room = window.client.rooms.get("lobby");
      const said = [];
      for (let n = 1; n <= count; n++) said.push(room.chat({ n }).then(({ seq }) => seq));
      return Promise.all(said);
    }, count);
    assert.deepEqual(seqs, upTo(count));
    await until(bob, (count) => window.events.some(({ event, value }) => event === "chat" && value.n === count), count);
    assert.deepEqual(await numbers(bob), upTo(count));
    const statuses = await events(ann, "status");
    assert.deepEqual(statuses.map(({ state }) => state), states);
    assert.deepEqual(statuses.flatMap(({ code }) => code ?? []), states.length > 1 ? [4100, 4100] : []);
    // Nothing waits any more: the next chat goes at once, and so do signals.
    await ann.evaluate(() => window.client.signal("lobby", { typing: true }));
    await until(bob, () => window.events.some(({ event }) => event === "signal"));
    assert.deepEqual([await events(ann, "error"), ann.problems], [[], []]);
    await server.end("SIGTERM");
  });
}
