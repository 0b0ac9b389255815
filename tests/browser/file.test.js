// What holds for the file itself.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { gzipSync } from "node:zlib";

const source = readFileSync(new URL("../../src/chat/web/frameloop.js", import.meta.url));

test("the file is under 12 KB when compressed, as it is", () => {
  const bytes = gzipSync(source, { level: 9 }).length;
  assert.ok(bytes < 12 * 1024, `${bytes} bytes`);
});

test("the file depends on nothing", () => {
  assert.doesNotMatch(source.toString().replaceAll(/^ \*.*$/gm, ""), /^\s*import\b|\bimport\(|\brequire\(/m);
});
