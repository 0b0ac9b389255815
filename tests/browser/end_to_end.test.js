// The client in a process of its own against a small server on `ws`: real sockets, a lost line, and the end.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import test from "node:test";
import { WebSocketServer } from "ws";

// Says three chats, of which the server kills the line at the second; closes; and must then end by itself.
const PROGRAM = `
  import { WebSocket as ofWs } from "ws";
  import { connect } from "../../src/chat/web/frameloop.js";
  const WebSocket = process.argv[2] === "ws" ? ofWs : undefined;
  const client = connect(process.argv[1], { WebSocket, baseMs: 1, token: async () => "t" });
  const heard = [];
  client.on("chat", (chat) => heard.push(chat.msg));
  const room = await client.join("lobby", { last: 1 });
  const seqs = [];
  for (const msg of ["one", "two", "three"]) seqs.push((await room.chat({ msg })).seq);
  console.log(JSON.stringify({ seqs, heard, session: client.session }));
  client.close();
`;

/** Speaks as much of the protocol as the program needs, and loses one ack with its line. */
function serve(socket, server) {
  const say = (...messages) => socket.send(JSON.stringify(messages.length === 1 ? messages[0] : messages));
  const chat = ({ id, room, msg }) => {
    const duplicate = server.log.has(id);
    if (!duplicate) server.log.set(id, { seq: server.log.size + 1, msg });
    if (msg === "two" && !duplicate) return socket.terminate();
    say({ type: "ack", id, room, epoch: "e1", seq: server.log.get(id).seq, ...(duplicate && { duplicate }) });
  };
  socket.on("message", (data) => {
    for (const message of [JSON.parse(data)].flat()) {
      if (message.type === "chat") chat(message);
      if (message.type !== "hello") continue;
      server.hellos.push(message);
      const { id, resume } = message;
      const rooms = { lobby: { epoch: "e1", seq: server.log.size } };
      const heartbeat = { interval_s: 30, misses: 3 };
      const limits = { message_bytes: 1000, batch: 10 };
      const session = { session: "s_1", resume_token: "r_1", resumed: resume !== undefined };
      say({ type: "welcome", id, v: 1, ...session, heartbeat, limits, rooms });
      if (resume) say({ type: "chat", room: "lobby", seq: 99, from: { session: "s_b" }, msg: "missed" });
    }
  });
  socket.on("close", (code) => server.closes.push(code));
}

for (const kind of ["ws", "global"]) {
  const name = `over real sockets (${kind}) nothing is lost or doubled, and after close the process ends`;
  test(name, () => overRealSockets(kind));
}

async function overRealSockets(kind) {
  const server = { log: new Map(), hellos: [], closes: [] };
  const listener = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  const protocols = [];
  listener.on("connection", (socket, request) => {
    protocols.push(request.headers["sec-websocket-protocol"]);
    serve(socket, server);
  });
  await once(listener, "listening");
  const url = `ws://127.0.0.1:${listener.address().port}/`;
  // Node 22 has a WebSocket without being asked.
  const flags = kind === "ws" ? [] : ["--experimental-websocket", "--disable-warning=ExperimentalWarning"];
  const child = spawn(process.execPath, [...flags, "--input-type=module", "-e", PROGRAM, url, kind], {
    cwd: import.meta.dirname,
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 20_000,
  });
  let output = "";
  child.stdout.on("data", (data) => (output += data));
  const [status] = await once(child, "close");
  listener.close();
  assert.equal(status, 0, "it ended by itself");
  assert.deepEqual(JSON.parse(output), { seqs: [1, 2, 3], heard: ["missed"], session: "s_1" });
  assert.deepEqual([...server.log.values()].map(({ msg }) => msg), ["one", "two", "three"]);
  assert.deepEqual(protocols, ["frameloop.v1", "frameloop.v1"]);
  assert.deepEqual(server.hellos.map(({ token, resume }) => [token, resume]), [
    ["t", undefined],
    ["t", { session: "s_1", token: "r_1" }],
  ]);
  assert.equal(server.closes.at(-1), 1000);
}
