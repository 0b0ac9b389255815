// The demo page as its visitors have it: what they see, what they do, and what is left when the line goes.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { Server, until, visit } from "./harness.js";

const state = (page, state) => page.waitForSelector(`#status[data-state=${state}]`);
const texts = (page) => page.locator("#log .say .text").allTextContents();

async function say(page, text) {
  await page.fill("#message", text);
  await page.press("#message", "Enter");
}

async function demo(name, server, options) {
  const page = await visit(`${server.page}?room=tea`, options);
  await state(page, "open");
  await page.fill("#name", name);
  await page.press("#name", "Enter");
  await state(page, "open");
  return page;
}

/** A picture, for whoever wants to look: SCREENSHOTS=dir npm test. */
async function picture(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}

test("two visitors see each other, chat, and move what they share", async () => {
  const server = await Server.start({ args: [] });
  const [ann, bob] = [await demo("Ann", server), await demo("Bob", server, { colorScheme: "dark" })];
  await until(ann, () => document.querySelector("#people").textContent.includes("Bob"));
  await say(ann, "hi <b>Bob</b>");
  await until(bob, () => document.querySelector("#log .say .text")?.textContent === "hi <b>Bob</b>");
  await ann.waitForSelector(".say.own[data-state=delivered]");
  // A note is dragged by one, and moves for the other.
  const grip = ann.locator("#board .note .grip").first();
  await grip.waitFor();
  const place = () => document.querySelector("#board .note").style.getPropertyValue("--x");
  const before = await bob.evaluate(place);
  const box = await grip.boundingBox();
  await ann.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await ann.mouse.down();
  await ann.mouse.move(box.x + box.width / 2 + 90, box.y + 60, { steps: 8 });
  await ann.mouse.up();
  await until(bob, (before) => document.querySelector("#board .note").style.getPropertyValue("--x") !== before, before);
  await until(bob, (x) => document.querySelector("#board .note").style.getPropertyValue("--x") === x, await ann.evaluate(place));
  await bob.locator("#board .note textarea").first().fill("tea at five");
  await until(ann, () => document.querySelector("#board .note textarea").value === "tea at five");
  await picture(ann, "light");
  await picture(bob, "dark");
  assert.deepEqual([ann.problems, bob.problems], [[], []]);
  await server.end("SIGTERM");
});

test("a line that is dropped loses nothing", async () => {
  const server = await Server.start({ args: [] });
  const [ann, bob] = [await demo("Ann", server), await demo("Bob", server)];
  await bob.click("#plug");
  await until(bob, () => document.querySelector("#status").dataset.state !== "open");
  for (const text of ["one", "two"]) await say(ann, text);
  await say(bob, "said without a line");
  await bob.click("#plug");
  await state(bob, "open");
  await until(bob, () => document.querySelectorAll("#log .say").length === 3);
  assert.deepEqual((await texts(bob)).toSorted(), ["one", "said without a line", "two"]);
  await bob.waitForSelector(".say.own[data-state=delivered]");
  await until(ann, () => document.querySelectorAll("#log .say").length === 3);
  assert.deepEqual(await texts(ann), ["one", "two", "said without a line"]);
  await bob.click("#drop");
  await until(bob, () => Number(document.querySelector("#reconnects").textContent) >= 1);
  assert.deepEqual([ann.problems, bob.problems], [[], []]);
  await server.end("SIGTERM");
});

test("on a phone nothing is cut off, and the keyboard is enough", async () => {
  const server = await Server.start({ args: [] });
  const page = await demo("Cid", server, { viewport: { width: 360, height: 740 } });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 360), "it scrolls to the side");
  await page.locator("#board .note .grip").first().focus();
  const place = () => document.querySelector("#board .note").style.getPropertyValue("--x");
  const before = await page.evaluate(place);
  await page.keyboard.press("ArrowRight");
  await until(page, (before) => document.querySelector("#board .note").style.getPropertyValue("--x") !== before, before);
  await picture(page, "phone");
  assert.deepEqual(page.problems, []);
  await server.end("SIGTERM");
});
