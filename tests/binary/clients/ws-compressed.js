// Checks an echo server that compresses with the package `ws`: prints one line of JSON for each offer, with what was agreed
// on, the bytes of all messages and those that came.
//
//   NODE_PATH=… node ws-compressed.js ws://127.0.0.1:9001/
"use strict";

const crypto = require("node:crypto");
const { once } = require("node:events");
const WebSocket = require("ws");

const people = (count) => JSON.stringify(Array.from({ length: count }, (_, id) => ({ id, name: `player-${(id * 7919) % 1000}`, alive: true })));

const OFFERS = [
  {},
  { serverNoContextTakeover: true },
  { clientNoContextTakeover: true },
  { serverMaxWindowBits: 9 },
  { clientMaxWindowBits: 9 },
];

async function check(offer) {
  // Without a threshold it compresses all it sends.
  const socket = new WebSocket(process.argv[2], { perMessageDeflate: { threshold: 0, ...offer } });
  await once(socket, "open");
  const before = socket._socket.bytesRead;
  const messages = [people(0), people(1), people(10), people(100), people(5000), "é€😀".repeat(50000), crypto.randomBytes(70000), ""];
  let bytes = 0;
  for (const message of [...messages, ...messages]) {
    socket.send(message);
    const [data, isBinary] = await once(socket, "message");
    if (isBinary === (typeof message === "string") || !data.equals(Buffer.from(message))) throw new Error("it came back as something else");
    bytes += data.length;
  }
  socket.send(people(20).slice(0, 100), { fin: false });
  socket.ping("between");
  socket.send(people(20).slice(100), { fin: true });
  const [[pong], [data]] = await Promise.all([once(socket, "pong"), once(socket, "message")]);
  if (pong.toString() !== "between" || data.toString() !== people(20)) throw new Error("fragments");
  console.log(JSON.stringify({ extensions: socket._extensions["permessage-deflate"].params, bytes, came: socket._socket.bytesRead - before }));
  socket.close(1000);
  const [code] = await once(socket, "close");
  if (code !== 1000) throw new Error(`it was closed with ${code}`);
}

(async () => {
  for (const offer of OFFERS) await check(offer);
})().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
