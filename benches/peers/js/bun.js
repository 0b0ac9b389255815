// bun's own server: bun bun.js echo|room|compressed. Publishing sends to all others. Compressed is what its documentation
// says: `perMessageDeflate: true`, and each message with the flag to compress it.
const [isRoom, isCompressed] = ["room", "compressed"].map((mode) => process.argv[2] === mode);
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("no WebSocket", { status: 400 })),
  websocket: {
    perMessageDeflate: isCompressed,
    backpressureLimit: 64 * 1024 * 1024,
    open: (socket) => void (isRoom && socket.subscribe("room")),
    message: (socket, message) =>
      void (isRoom ? socket.publish("room", message) : socket.send(message, isCompressed)),
  },
});
console.log(`listening on ws://127.0.0.1:${server.port}/`);
