// A page as its author first writes it: one WebSocket, nothing else. Each line of the output is one line of JSON.
//
//   node --experimental-websocket seed-simple.js [port]
"use strict";

const port = process.argv[2] || "8765";
const log = (line) => console.log(JSON.stringify(line));

const socket = new WebSocket(`ws://localhost:${port}`);
socket.onopen = () => {
  log({ event: "open" });
  socket.send(JSON.stringify({ type: "chat", msg: "hello server" }));
};
socket.onmessage = (event) => log({ event: "message", data: event.data });
socket.onclose = (event) => log({ event: "close", code: event.code, clean: event.wasClean });
socket.onerror = () => log({ event: "error" });
