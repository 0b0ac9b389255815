// RFC 7396: `diff` and `apply`.

import assert from "node:assert/strict";
import test from "node:test";
import { apply, diff } from "../../src/chat/web/frameloop.js";

// RFC 7396 appendix A: original, patch, result.
const RFC_EXAMPLES = [
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
  [{ a: "b" }, { a: null }, {}],
  [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
  [{ a: ["b"] }, { a: "c" }, { a: "c" }],
  [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
  [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
  [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
  [["a", "b"], ["c", "d"], ["c", "d"]],
  [{ a: "b" }, ["c"], ["c"]],
  [{ a: "foo" }, null, null],
  [{ a: "foo" }, "bar", "bar"],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: "b", c: null }, { a: "b" }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];

test("apply gives what the RFC's examples give, and leaves its target alone", () => {
  for (const [target, patch, result] of RFC_EXAMPLES) {
    const before = JSON.stringify(target);
    assert.deepEqual(apply(target, patch), result, JSON.stringify([target, patch]));
    assert.equal(JSON.stringify(target), before);
  }
});

test("apply(a, diff(a, b)) is b", () => {
  const values = [
    {},
    { a: 1 },
    { a: 1, b: { c: [1, null, { d: null }] } },
    { a: {}, b: { c: [] } },
    { a: { b: { c: { d: "deep" } } }, x: false },
    { a: [1, 2], b: "", x: 0 },
    { a: { b: 5 }, "": { "": 1 } },
  ];
  for (const a of values) {
    for (const b of values) assert.deepEqual(apply(a, diff(a, b) ?? {}), b, JSON.stringify([a, b]));
  }
});

test("diff holds only what changed", () => {
  assert.deepEqual(diff({ a: 1, b: { c: 1, d: 2 }, e: 3 }, { a: 1, b: { c: 1, d: 4 } }), { b: { d: 4 }, e: null });
  assert.deepEqual(diff({ list: [1, 2, 3] }, { list: [1, 2, 4] }), { list: [1, 2, 4] }, "an array travels whole");
});

test("diff is undefined when nothing changed", () => {
  assert.equal(diff({ a: [1, { b: null }], c: { d: {} } }, { c: { d: {} }, a: [1, { b: null }] }), undefined);
  assert.equal(diff({ a: 1 }, { a: 1, b: undefined }), undefined);
});

test("diff removes a member that is undefined now", () => {
  assert.deepEqual(diff({ a: 1 }, { a: undefined }), { a: null });
});

test("diff of an object with a null throws, and names the path", () => {
  assert.throws(() => diff({}, { plan: { "due date": null } }), /\/plan\/due date/);
  assert.throws(() => diff({ plan: 1 }, { plan: { owner: { name: null } } }), /\/plan\/owner\/name/);
  assert.throws(() => diff({}, null), /null/);
});

test("names that every object has by itself are members like others", () => {
  const hostile = JSON.parse('{"__proto__":{"polluted":1},"constructor":{"x":2},"toString":"s"}');
  const result = apply({}, hostile);
  assert.equal(JSON.stringify(result), JSON.stringify(hostile));
  assert.equal({}.polluted, undefined);
  assert.equal(Object.getPrototypeOf(result), Object.prototype);
  assert.equal(JSON.stringify(diff({}, hostile)), JSON.stringify(hostile));
  assert.equal(diff(result, hostile), undefined);
});
