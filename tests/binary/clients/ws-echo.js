// Checks an echo server with the package `ws`: prints one line of JSON for each thing that came back as it was sent.
//
//   NODE_PATH=… node ws-echo.js ws://127.0.0.1:9001/
"use strict";

const crypto = require("node:crypto");
const { once } = require("node:events");
const WebSocket = require("ws");

async function check() {
  const socket = new WebSocket(process.argv[2]);
  await once(socket, "open");

  for (const text of ["hello server", "", "é€😀".repeat(50000)]) {
    socket.send(text);
    const [data, isBinary] = await once(socket, "message");
    if (isBinary || data.toString() !== text) throw new Error("text came back as something else");
  }
  console.log(JSON.stringify({ ok: "text" }));

  for (const size of [0, 1, 125, 126, 65535, 65536, 1024 * 1024]) {
    const bytes = crypto.randomBytes(size);
    socket.send(bytes);
    const [data, isBinary] = await once(socket, "message");
    if (!isBinary || !data.equals(bytes)) throw new Error(`${size} bytes came back as something else`);
  }
  console.log(JSON.stringify({ ok: "binary" }));

  for (const payload of [Buffer.alloc(0), crypto.randomBytes(125)]) {
    socket.ping(payload);
    const [data] = await once(socket, "pong");
    if (!data.equals(payload)) throw new Error("a pong with other data");
  }
  console.log(JSON.stringify({ ok: "ping" }));

  // Fragments, with a ping between them.
  socket.send("one ", { fin: false });
  socket.ping("between");
  socket.send("message", { fin: true });
  const [[pong], [data]] = await Promise.all([once(socket, "pong"), once(socket, "message")]);
  if (pong.toString() !== "between" || data.toString() !== "one message") throw new Error("fragments");
  console.log(JSON.stringify({ ok: "fragments" }));

  socket.close(1000, "bye");
  const [code] = await once(socket, "close");
  console.log(JSON.stringify({ ok: "close", code }));
}

check().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
