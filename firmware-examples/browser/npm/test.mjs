// Tests the package in Node: `node test.mjs PACKAGE EXAMPLES`. Every model that ships must have the hash that boards print, and misuse must be an error.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";

const [folder, examples] = process.argv.slice(2);
const { KingletError, fingerprint, load } = await import(pathToFileURL(`${folder}/index.js`));
const source = await readFile(`${examples}/browser/page/boards.js`, "utf8");
const { EXAMPLES, hashes } = await import(`data:text/javascript,${encodeURIComponent(`${source}\nexport { hashes };`.replace("export function hashes", "function hashes"))}`);

const blob = (name) => readFile(`${examples}/common/models/${name}.kinglet`);
for (const [name, { example }] of Object.entries(EXAMPLES)) {
  const model = await load(await blob(name));
  const { here, boards } = hashes(model, name, await readFile(`${examples}/expected/${example}.txt`, "utf8"), fingerprint);
  assert.equal(here, boards, name);
  assert.ok(model.selfTest() > 0, name);
}

const intents = await load(await blob("home-intent"));
const text = "Dim the hallway lights to thirty percent.";
assert.equal(intents.classify(text)[0].label, "light.set");
assert.equal(intents.classify(text, { topK: null }).length, 32);
assert.equal(intents.decode(intents.tokenize(text, { addSpecialTokens: false }).map(({ id }) => id)), "dim the hallway lights to thirty percent");
assert.ok(intents.memory(32).arena < intents.memory(48).arena);
assert.ok(intents.fit().some((board) => board.board === "Raspberry Pi Pico" && board.fits));

const places = intents.tokenize("😀 lights", { addSpecialTokens: false }).at(-1);
assert.equal("😀 lights".slice(places.start, places.end), "lights");

const slots = await load(await blob("home-slots"));
const sentence = "play some jazz in the kitchen";
const found = slots.tag(sentence).entities.map(({ entity, start, end }) => [entity, sentence.slice(start, end)]);
assert.deepEqual(found, [["music", "jazz"], ["room", "kitchen"]]);

const stories = await load(await blob("stories"));
const greedy = [...stories.generate("Once upon a time", { maxNewTokens: 8 })].join("");
assert.equal([...stories.generate("Once upon a time", { maxNewTokens: 8 })].join(""), greedy);
assert.notEqual([...stories.generate("Once upon a time", { maxNewTokens: 8, temperature: 2, seed: 7 })].join(""), greedy);
assert.ok(stories.score("They played together.").slice(1).every(({ logProb }) => logProb < 0));

// The types name what there is: each method of the class, and each field of a model.
const [, types] = /export class Model \{\n(.*?)\n\}/s.exec(await readFile(`${folder}/index.d.ts`, "utf8"));
const named = (pattern) => [...types.matchAll(pattern)].map(([, name]) => name).sort();
const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(stories)).filter((name) => name !== "constructor");
assert.deepEqual(named(/^  (\w+)\(/gm), methods.sort());
assert.deepEqual(named(/^  readonly (\w+):/gm), Object.keys(stories).sort());

// Mistakes.
const refused = (call, code, words) =>
  assert.throws(call, (error) => error instanceof KingletError && error.code === code && error.message.includes(words));
refused(() => intents.generate("Once").next(), 222, "predict the next token");
refused(() => stories.classify("Once"), 222, "classify");
refused(() => stories.generate("Once", { temperature: -1 }).next(), 230, "temperature");
refused(() => stories.logits([1_000_000]), 212, "");
refused(() => stories.generate("Once", { beams: 4 }).next(), null, "beams");
await assert.rejects(load(new Uint8Array(0)), KingletError);
await assert.rejects(load(new TextEncoder().encode("this is no blob at all")), KingletError);
const broken = await blob("home-intent");
broken[broken.length - 1000] ^= 1;
await assert.rejects(load(broken), (error) => error instanceof KingletError && error.code === 107);
// The model opened earlier still works.
assert.equal(intents.classify(text)[0].label, "light.set");
console.log(`kinglet-wasm in Node: ${Object.keys(EXAMPLES).length} hashes are those of the boards`);
