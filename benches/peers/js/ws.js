// `ws` on Node: node ws.js echo|room|compressed. With bufferutil, which its README recommends for speed.
// Compressed with the levels that it shows there; with its chunks of 1 KiB long messages would take longer.
"use strict";
const { WebSocket, WebSocketServer } = require("ws");

const isRoom = process.argv[2] === "room";
const perMessageDeflate = process.argv[2] === "compressed" && {
  serverNoContextTakeover: true,
  clientNoContextTakeover: true,
  threshold: 1024, // the default
  zlibDeflateOptions: { level: 3, memLevel: 7 },
};
const options = { host: "127.0.0.1", port: 0, backlog: 4096, perMessageDeflate, clientTracking: isRoom };
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
