// `ws` on Node: node ws.js echo|room. With bufferutil, which its README recommends for speed.
"use strict";
const { WebSocket, WebSocketServer } = require("ws");

const isRoom = process.argv[2] === "room";
const options = { host: "127.0.0.1", port: 0, backlog: 4096, perMessageDeflate: false, clientTracking: isRoom };
const server = new WebSocketServer(options, () => console.log(`listening on ws://127.0.0.1:${server.address().port}/`));
server.on("connection", (socket) => {
  socket.on("error", () => {}); // a connection that failed is over, as one that closed
  socket.on("message", (data, isBinary) => {
    if (!isRoom) return socket.send(data, { binary: isBinary });
    for (const other of server.clients) {
      if (other !== socket && other.readyState === WebSocket.OPEN) other.send(data, { binary: isBinary });
    }
  });
});
