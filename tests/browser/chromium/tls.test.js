// Over https and wss, with a certificate that is renewed while pages talk.

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import test from "node:test";
import { connect as connectTls } from "node:tls";
import { EMPTY_PAGE, Folder, Server, connect, events, numbers, speak, tlsFile, until, upTo, visit } from "./harness.js";

const COUNT = 2000;

/** Puts a certificate and its key where the server reads them. Returns its flags. */
function put(folder, name) {
  const key = folder.write("key.pem", readFileSync(tlsFile(`${name}.key`)));
  const certificate = folder.write("cert.pem", readFileSync(tlsFile(`${name}.cert`)));
  return ["--tls-cert", certificate, "--tls-key", key];
}

/** The certificate that a new connection is shown. */
async function shown(server) {
  const socket = connectTls({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

const fingerprint = (name) => new X509Certificate(readFileSync(tlsFile(`${name}.cert`))).fingerprint256;

test("over https the demo page is the same: two visitors chat, and a reload comes back to the chat", async () => {
  const server = await Server.start({ full: true, args: put(new Folder(), "first") });
  assert.match(server.page, /^https:/);
  const [ann, bob] = [await visit(`${server.page}?room=tea`), await visit(`${server.page}?room=tea`)];
  const texts = (page) => page.locator("#log .say .text").allTextContents();
  const say = async (page, text) => {
    await page.fill("#message", text);
    await page.press("#message", "Enter");
    await page.waitForSelector(".say.own[data-state=delivered]");
  };
  await bob.waitForSelector("#status[data-state=open]");
  await say(ann, "hi over TLS");
  await until(bob, () => document.querySelector("#log .say .text")?.textContent === "hi over TLS");
  await ann.reload();
  await until(ann, () => document.querySelector("#log .say .text")?.textContent === "hi over TLS");
  await say(bob, "and back");
  await until(ann, () => document.querySelectorAll("#log .say").length === 2);
  assert.deepEqual(await texts(ann), ["hi over TLS", "and back"]);
  assert.deepEqual([ann.problems, bob.problems], [[], []]);
  await server.end("SIGTERM");
});

test("a certificate is renewed under traffic: no line is lost, and new ones get the new certificate", async () => {
  const folder = new Folder();
  const args = [...EMPTY_PAGE, ...put(folder, "first"), "--history", String(COUNT)];
  const server = await Server.start({ full: true, args });
  const [speaker, listener] = [await visit(server.page), await visit(server.page)];
  for (const page of [speaker, listener]) await connect(page, { buffer: 2 * COUNT });
  assert.equal(await shown(server), fingerprint("first"));
  await speak(speaker, COUNT);
  await until(listener, () => window.events.filter(({ event }) => event === "chat").length >= 200);
  put(folder, "second");
  server.process.kill("SIGHUP");
  const deadline = Date.now() + 5000; // the server would look by itself, but later
  while ((await shown(server)) !== fingerprint("second")) assert.ok(Date.now() < deadline, "it is not taken");
  const saidBefore = (await numbers(listener)).length;
  assert.ok(saidBefore < COUNT, "the stream is not over");
  // One that comes only now, and one that comes back.
  const late = await visit(server.page);
  await connect(late, { rooms: { lobby: { last: COUNT } } });
  await listener.evaluate(() => window.client.reconnect());
  for (const page of [listener, late]) {
    await until(page, (count) => window.events.some(({ event, value }) => event === "chat" && value.n === count), COUNT);
    assert.deepEqual(await numbers(page), upTo(COUNT));
  }
  await until(speaker, (count) => window.acked.length === count, COUNT);
  assert.deepEqual((await events(speaker, "status")).map(({ state }) => state), ["open"], "its line went on");
  assert.deepEqual([speaker, listener, late].flatMap(({ problems }) => problems), []);
  assert.equal(await server.end("SIGTERM"), 0);
});
