// bun's own server: bun bun.js echo|room. Publishing sends to all others.
const isRoom = process.argv[2] === "room";
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("no WebSocket", { status: 400 })),
  websocket: {
    perMessageDeflate: false,
    backpressureLimit: 64 * 1024 * 1024,
    open: (socket) => void (isRoom && socket.subscribe("room")),
    message: (socket, message) => void (isRoom ? socket.publish("room", message) : socket.send(message)),
  },
});
console.log(`listening on ws://127.0.0.1:${server.port}/`);
