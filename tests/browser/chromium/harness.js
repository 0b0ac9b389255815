// The real server and a real browser: what the tests of this folder share. Each wait has a deadline, and none is a sleep.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

const BINARY = process.env.FRAMELOOP_BINARY ?? path("../../../target/release/frameloop");
const CHROMIUM = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
/** What has not happened by then does not happen. */
const PATIENCE_MS = 30_000;

/** A server on a free port, or on one that an earlier server has left. */
export class Server {
  static #running = new Set();

  /** @param {{ port?: number, args?: string[] }} [options] without `args` it serves an empty page */
  static async start({ port = 0, args = ["--static", path("site")] } = {}) {
    assert.ok(existsSync(BINARY), `${BINARY} is missing: cargo build --release, or set FRAMELOOP_BINARY`);
    const server = new Server();
    const flags = ["serve", "--listen", `127.0.0.1:${port}`, "--log-level", "warn", ...args];
    server.process = spawn(BINARY, flags, { stdio: ["ignore", "pipe", "inherit"] });
    server.ended = once(server.process, "exit");
    Server.#running.add(server);
    server.ended.then(() => Server.#running.delete(server));
    for await (const line of createInterface(server.process.stdout)) {
      server.port = Number(/^listening on ws:\/\/127\.0\.0\.1:(\d+)\/$/.exec(line)?.[1]);
      break;
    }
    assert.ok(server.port, "it says where it listens");
    return server;
  }

  get page() {
    return `http://127.0.0.1:${this.port}/`;
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

let browser;

/** A page of its own, as of another visitor: its storage is nobody else's. Any error on it fails the test. */
export async function visit(url, options = {}) {
  const executablePath = CHROMIUM.find((candidate) => candidate && existsSync(candidate));
  assert.ok(executablePath, "Chromium is missing: apt-get install chromium, or set CHROMIUM");
  // Containers have no user namespaces for its sandbox; the pages are our own.
  browser ??= await chromium.launch({ executablePath, args: ["--no-sandbox"] });
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
 */
export async function connect(page, options = {}) {
  await page.evaluate(async (options) => {
    const { connect } = await import("/frameloop.js");
    window.events = [];
    window.client = connect(`ws://${location.host}/`, { rooms: { lobby: {} }, ...options });
    for (const event of ["status", "welcome", "error", "chat", "signal", "join", "leave", "gap", "recovered"]) {
      window.client.on(event, (value, room) => {
        const plain = value instanceof Error ? { code: value.code, message: value.message } : value;
        window.events.push({ event, value: structuredClone(plain), room: room?.name });
      });
    }
    await Promise.all([...window.client.rooms.keys()].map((name) => window.client.join(name)));
  }, options);
}

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
});
