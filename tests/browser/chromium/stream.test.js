// A thousand numbered messages from one page to another, and a server that does not live that long.

import assert from "node:assert/strict";
import test from "node:test";
import { Server, connect, events, numbers, speak, until, upTo, visit } from "./harness.js";

const COUNT = 1000;

for (const signal of ["SIGKILL", "SIGTERM"]) {
  test(`a server that is ended by ${signal} in the midst of a stream loses nothing silently`, () => survive(signal));
}

async function survive(signal) {
  const first = await Server.start();
  const [speaker, listener] = [await visit(first.page), await visit(first.page)];
  // The waits are the client's own; only their length is not worth our time.
  for (const page of [speaker, listener]) await connect(page, { baseMs: 200, buffer: 2 * COUNT });
  await speak(speaker, COUNT);
  await until(listener, () => window.events.filter(({ event }) => event === "chat").length >= 300);
  await first.end(signal);
  const acked = await speaker.evaluate(() => [...window.acked]);
  const second = await Server.start({ port: first.port });
  await until(speaker, (count) => window.acked.length === count, COUNT);
  // All are acknowledged, so the last one is in the log: it comes, and all before it came before.
  await until(listener, (count) => window.events.some(({ event, value }) => event === "chat" && value.n === count), COUNT);

  const heard = await numbers(listener);
  const gaps = await events(listener, "gap");
  const missing = upTo(COUNT).filter((n) => !heard.includes(n));
  assert.ok(gaps.length <= 1 && gaps.every(({ reason }) => reason === "reset"), JSON.stringify(gaps));
  const [before, behind] = gaps.length === 0 ? [heard, []] : [heard.slice(0, heard.indexOf("gap")), heard.slice(heard.indexOf("gap") + 1)];
  for (const part of [before, behind]) {
    assert.ok(part.every((n, i) => i === 0 || n > part[i - 1]), `in order, each once: ${part}`);
  }
  // What is missing is missing at the gap. What comes twice was heard, but its ack was lost with the server.
  const [last, next] = [before.at(-1), behind[0]];
  assert.deepEqual(missing.filter((n) => n <= last || n >= next), [], "a hole that no gap names");
  const isTwice = (n) => n <= last && (signal === "SIGTERM" || acked.includes(n));
  assert.deepEqual(behind.filter(isTwice), [], "the server had it, and it came again");
  for (const page of [speaker, listener]) assert.deepEqual(await events(page, "error"), []);
  assert.equal(await second.end("SIGTERM"), 0);
}
