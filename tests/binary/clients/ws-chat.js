// One member of a chat, on the package `ws`: says each line of its standard input, prints what it hears as lines of
// JSON, and leaves with 1000 when the input ends.
//
//   NODE_PATH=… node ws-chat.js ws://127.0.0.1:8765/
"use strict";

const readline = require("node:readline");
const WebSocket = require("ws");

const log = (line) => console.log(JSON.stringify(line));

const socket = new WebSocket(process.argv[2]);
socket.on("open", () => {
  log({ event: "open" });
  const input = readline.createInterface({ input: process.stdin });
  input.on("line", (line) => socket.send(line));
  input.on("close", () => socket.close(1000, "bye"));
});
socket.on("message", (data, isBinary) => log({ event: "message", data: data.toString(), binary: isBinary }));
socket.on("close", (code) => log({ event: "close", code }));
