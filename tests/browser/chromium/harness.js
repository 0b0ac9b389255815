// The real server and a real browser: what the tests of this folder share. Each wait has a deadline, and none is a sleep.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { X509Certificate, createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

const BINARY = process.env.FRAMELOOP_BINARY ?? path("../../../target/release/frameloop");
/** With the features `tls`, `jwt` and `deflate`. */
const FULL_BINARY = process.env.FRAMELOOP_FULL_BINARY ?? path("../../../target/full/release/frameloop");
const CHROMIUM = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
/** What has not happened by then does not happen. */
const PATIENCE_MS = 30_000;

/** Its name leads to this machine, but it is another site. */
export const FOREIGN = "foreign.example";

/** One of the two certificates of `tests/tls`, or a key. */
export const tlsFile = (name) => path(`../../tls/files/${name}.pem`);

/** The browser believes these two, and no others of this machine. */
function knownKeys() {
  return ["first.cert", "second.cert"].map((name) => {
    const { publicKey } = new X509Certificate(readFileSync(tlsFile(name)));
    return createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64");
  });
}

/** A server on a free port, or on one that an earlier server has left. */
export class Server {
  static #running = new Set();

  /**
   * Without `args` it serves an empty page, as with `EMPTY_PAGE`. With `full` it is the build with all features.
   *
   * @param {{ port?: number, args?: string[], full?: boolean }} [options]
   */
  static async start({ port = 0, args = EMPTY_PAGE, full = false } = {}) {
    const [binary, build, variable] = full
      ? [FULL_BINARY, "--features tls,jwt,deflate --target-dir target/full", "FRAMELOOP_FULL_BINARY"]
      : [BINARY, "", "FRAMELOOP_BINARY"];
    assert.ok(existsSync(binary), `${binary} is missing: cargo build --release ${build}, or set ${variable}`);
    const server = new Server();
    const flags = ["serve", "--listen", `127.0.0.1:${port}`, "--log-level", "warn", ...args];
    server.process = spawn(binary, flags, { stdio: ["ignore", "pipe", "inherit"] });
    server.ended = once(server.process, "exit");
    Server.#running.add(server);
    server.ended.then(() => Server.#running.delete(server));
    for await (const line of createInterface(server.process.stdout)) {
      server.socket = /^listening on (wss?:\/\/127\.0\.0\.1:\d+\/)$/.exec(line)?.[1];
      break;
    }
    assert.ok(server.socket, "it says where it listens");
    server.port = Number(new URL(server.socket).port);
    return server;
  }

  get page() {
    return this.socket.replace("ws", "http");
  }

  /** @param {"SIGTERM" | "SIGKILL"} signal */
  async end(signal) {
    this.process.kill(signal);
    const [code] = await this.ended;
    return code;
  }

  static killAll() {
    for (const server of Server.#running) server.process.kill("SIGKILL");
  }
}

export const EMPTY_PAGE = ["--static", path("site")];

/** Files that a server reads, and reads again. */
export class Folder {
  static #all = new Set();
  #path = mkdtempSync(`${tmpdir()}/frameloop-browser-`);

  constructor() {
    Folder.#all.add(this.#path);
  }

  /** Puts a file in its place, at once and whole. Returns its path. */
  write(name, content) {
    const file = `${this.#path}/${name}`;
    writeFileSync(`${file}.new`, content, { mode: 0o600 });
    renameSync(`${file}.new`, file);
    return file;
  }

  static removeAll() {
    for (const folder of Folder.#all) rmSync(folder, { recursive: true });
  }
}

/** Another web server on this machine, with an empty page. Returns its port. */
export async function serveSite(t) {
  const server = createServer((request, response) => {
    response.setHeader("content-type", "text/html").end(readFileSync(path("site/index.html")));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const end = () => new Promise((resolve) => server.close(resolve).closeAllConnections());
  t.after(end);
  return { port: server.address().port, end };
}

let browser;

/** A page of its own, as of another visitor: its storage is nobody else's. Any error on it fails the test. */
export async function visit(url, options = {}) {
  const executablePath = CHROMIUM.find((candidate) => candidate && existsSync(candidate));
  assert.ok(executablePath, "Chromium is missing: apt-get install chromium, or set CHROMIUM");
  // Containers have no user namespaces for its sandbox; the pages are our own.
  browser ??= await chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      `--host-resolver-rules=MAP ${FOREIGN} 127.0.0.1`,
      `--ignore-certificate-errors-spki-list=${knownKeys().join()}`,
    ],
  });
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.problems.push(message.text()));
  await page.goto(url);
  return page;
}

/**
 * Runs the client on a page: its events go into `window.events`, as `{ event, value, room }`.
 *
 * @param {import("playwright-core").Page} page
 * @param {object} [options] of `connect`
 * @param {() => string} [askToken] runs here
 */
export async function connect(page, options = {}, askToken) {
  await begin(page, options, askToken);
  await page.evaluate(() => Promise.all([...window.client.rooms.keys()].map((name) => window.client.join(name))));
}

/** As `connect`, but without waiting whether it is let in. */
export async function begin(page, options = {}, askToken) {
  if (askToken) await page.exposeFunction("askToken", askToken);
  await page.evaluate(async (options) => {
    const { connect } = await import("/frameloop.js");
    window.events = [];
    const token = window.askToken && (() => window.askToken());
    window.client = connect(location.origin.replace("http", "ws"), { rooms: { lobby: {} }, token, ...options });
    for (const event of ["status", "welcome", "error", "chat", "signal", "join", "leave", "gap", "recovered"]) {
      window.client.on(event, (value, room) => {
        const plain = value instanceof Error ? { code: value.code, message: value.message } : value;
        window.events.push({ event, value: structuredClone(plain), room: room?.name });
      });
    }
  }, options);
}

/**
 * What becomes of a WebSocket of the page without our client: whether it opened, with which protocol, what its hello was
 * answered, for which user, and how it was closed.
 */
export function plainSocket(page, url, protocols = []) {
  return page.evaluate(async ([url, protocols]) => {
    const socket = new WebSocket(url, protocols);
    const seen = { opened: false };
    await new Promise((resolve) => {
      socket.onopen = () => {
        Object.assign(seen, { opened: true, protocol: socket.protocol });
        socket.send('{"type":"hello","v":1,"rooms":{}}');
      };
      socket.onmessage = ({ data }) => {
        const { type, code, user } = JSON.parse(data);
        Object.assign(seen, { told: code ?? type }, user && { user });
        if (type === "welcome") resolve();
      };
      socket.onclose = ({ code, reason }) => resolve(Object.assign(seen, { code, reason }));
    });
    socket.onclose = null;
    socket.close();
    return seen;
  }, [url, protocols]);
}

/** Says the numbers from 1 on, a few at a time, and notes in `window.acked` which the server has. */
export function speak(page, count, everyMs = 5) {
  return page.evaluate(([count, everyMs]) => {
    const room = window.client.rooms.get("lobby");
    window.acked = [];
    let next = 1;
    const timer = setInterval(() => {
      for (let few = 0; few < 5 && next <= count; few++, next++) {
        const n = next;
        room.chat({ n }).then(() => window.acked.push(n));
      }
      if (next > count) clearInterval(timer);
    }, everyMs);
  }, [count, everyMs]);
}

/** What `speak` says, as far as the page has heard it, and each gap. */
export function numbers(page) {
  return page.evaluate(() => {
    return window.events.flatMap(({ event, value }) => (event === "chat" ? value.n : event === "gap" ? "gap" : []));
  });
}

/** The numbers from 1 on. */
export const upTo = (count) => Array.from({ length: count }, (_, i) => i + 1);

/** Waits until the function, run on the page again and again, returns something true; returns that. */
export async function until(page, isSo, argument) {
  const handle = await page.waitForFunction(isSo, argument, { timeout: PATIENCE_MS, polling: 20 });
  return handle.jsonValue();
}

/** The values of all events of a kind so far. */
export function events(page, kind) {
  return page.evaluate((kind) => window.events.filter(({ event }) => event === kind).map(({ value }) => value), kind);
}

after(async () => {
  await browser?.close();
  Server.killAll();
  Folder.removeAll();
});
