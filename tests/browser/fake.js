// A WebSocket whose other side is the test, and a client that talks to it under mocked timers.

import assert from "node:assert/strict";
import { connect } from "../../src/chat/web/frameloop.js";

export class FakeSocket {
  readyState = 0;
  bufferedAmount = 0;
  /** The messages that came, parsed: an object or an array. */
  sent = [];
  closed = undefined;

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
  }

  send(text) {
    assert.equal(this.readyState, 1, "nothing is sent on a socket that is not open");
    this.sent.push(JSON.parse(text));
  }

  close(code, reason) {
    this.closed = { code, reason };
    this.readyState = 2;
  }

  opens() {
    this.readyState = 1;
    this.onopen();
    return this;
  }

  /** The server sends one message, or several as an array. */
  says(...messages) {
    this.onmessage({ data: JSON.stringify(messages.length === 1 ? messages[0] : messages) });
  }

  ends(code = 1006, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }

  /** What was sent, arrays taken apart. */
  get messages() {
    return this.sent.flat();
  }

  /** The sent messages of a type. */
  of(type) {
    return this.messages.filter((message) => message.type === type);
  }
}

/** Lets promises and microtasks run; timers stand still. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A client on fake sockets. The random number is 1, so that each wait is the longest possible. */
export async function start(t, options = {}) {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const sockets = [];
  class Socket extends FakeSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }
  }
  const client = connect("ws://example.test/", { WebSocket: Socket, random: () => 1, ...options });
  t.after(() => client.close());
  await settle();
  return {
    client,
    sockets,
    get socket() {
      return sockets.at(-1);
    },
    async tick(ms) {
      t.mock.timers.tick(ms);
      await settle();
    },
  };
}

/** A welcome that lets the client into all rooms of its hello; `rooms` says more about some. */
export function welcomeTo(socket, { rooms = {}, ...members } = {}) {
  const [hello] = socket.of("hello");
  const entered = {};
  for (const name of Object.keys(hello.rooms)) entered[name] = { epoch: "e1", seq: 0, ...rooms[name] };
  for (const [name, room] of Object.entries(rooms)) if (room === null) delete entered[name];
  return {
    type: "welcome",
    id: hello.id,
    v: 1,
    session: "s_1",
    resume_token: "r_1",
    resume_ttl_s: 60,
    resumed: hello.resume !== undefined,
    heartbeat: { interval_s: 30, misses: 3 },
    limits: { message_bytes: 1_048_576, batch: 100, rooms: 100 },
    rooms: entered,
    ...members,
  };
}

/** The socket opens and the server welcomes the client. */
export async function open(fake, welcome) {
  await settle();
  fake.socket.opens();
  fake.socket.says(welcomeTo(fake.socket, welcome));
  await settle();
  return fake.socket;
}

/** A client that is open. */
export async function started(t, options, welcome) {
  const fake = await start(t, options);
  await open(fake, welcome);
  return fake;
}

/** The line breaks, the wait is over, and the next connection is welcomed. */
export async function comeBack(fake, welcome) {
  fake.socket.ends(1006);
  await fake.tick(2000);
  return open(fake, welcome);
}

/** The values of an event, as they come. */
export function record(source, event) {
  const values = [];
  source.on(event, (value) => values.push(value));
  return values;
}
