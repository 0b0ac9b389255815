// The same page with a reconnect: 2 s, 4 s, 8 s…, five attempts in a row at most, counted anew after each success.
//
//   node --experimental-websocket seed-backoff.js [port]
"use strict";

const port = process.argv[2] || "8765";
const log = (line) => console.log(JSON.stringify(line));

const baseDelay = 2000;
const maxAttempts = 5;
let attempts = 0;

function connect() {
  const socket = new WebSocket(`ws://localhost:${port}`);
  socket.onopen = () => {
    attempts = 0;
    log({ event: "open" });
    socket.send(JSON.stringify({ type: "chat", msg: "hello server" }));
  };
  socket.onmessage = (event) => log({ event: "message", data: event.data });
  socket.onclose = (event) => {
    log({ event: "close", code: event.code, clean: event.wasClean });
    if (attempts >= maxAttempts) {
      log({ event: "give up" });
      return;
    }
    const delay = baseDelay * 2 ** attempts;
    attempts += 1;
    log({ event: "retry", attempt: attempts, delay });
    setTimeout(connect, delay);
  };
}

connect();
