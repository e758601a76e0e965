// The page in Chromium: `node test.mjs PAGE EXAMPLES CHECKPOINT BLOB [SCREENSHOTS]`. BLOB is what CHECKPOINT is converted to on this machine.
import assert from "node:assert/strict";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Browser } from "./webdriver.mjs";

const [page, examples, checkpoint, converted, screenshots] = process.argv.slice(2);
const TAB = "\uE004";
const [END, ARROW_DOWN] = ["\uE010", "\uE015"];
const MODELS = { stories: "generate", "home-intent": "classify", "home-slots": "tag", "home-command": "command", "home-words": "fill_mask", "stories-backward": "score", search: "search" };

const TESTS = [
  everyModelAnswersAsOnABoard,
  writingCanBeStopped,
  anyBlobCanBeDropped,
  aFolderIsConverted,
  boardsFollowTheLength,
  everythingHasANameAndAKey,
  itIsReadableInLightAndDarkAndOnAPhone,
  itOpensFromAServerAndWithoutOne,
];

const browser = await Browser.start();
const text = (selector) => browser.run((of) => document.querySelector(of)?.innerText ?? "", selector);
const click = (selector) => browser.run((of) => document.querySelector(of).click(), selector);
const shown = (selector, what) =>
  browser.until(`${what} in ${selector}`, (of, words) => document.querySelector(of)?.innerText.includes(words), selector, what);

async function choose(name) {
  await click(`input[value="${name}"]`);
  await browser.until(`the hash of ${name}`, (of) => document.querySelector(`input[value="${of}"]`).checked && document.querySelector("#bits .boards") && !document.querySelector("#status").innerText.includes("being opened"), name);
}

async function ask(question) {
  await browser.run((value) => begin(value), question);
  await browser.until("an answer", () => !document.querySelector("#run").disabled);
  return text("#result");
}

/** Opens a file that holds these bytes. */
const folder = await mkdtemp(join(tmpdir(), "kinglet-"));
async function give(name, bytes) {
  const path = join(folder, name);
  await writeFile(path, bytes);
  await browser.type("#blob", path);
}

/** What an example prints on boards: texts, and what becomes of them. */
async function expected(example) {
  const printed = await readFile(`${examples}/expected/${example}.txt`, "utf8");
  return { printed, hash: printed.trimEnd().split("\n").at(-1).replace("logits ", ""), pairs: printed.split("\n").filter((line) => line.includes(" -> ")).map((line) => line.split(" -> ")) };
}

async function everyModelAnswersAsOnABoard() {
  for (const [name, example] of Object.entries(MODELS)) {
    const { printed, hash, pairs } = await expected(example);
    await choose(name);
    assert.equal(await text("#bits .here"), hash, `${name}: the hash here`);
    assert.equal(await text("#bits .boards"), hash, `${name}: the hash of boards`);
    assert.match(await text("#bits"), /[12] golden vectors? in the blob: equal/);
    if (name === "stories") {
      const beginning = printed.slice(0, printed.indexOf(".") + 1);
      assert.equal(`${(await ask(beginning)).trimEnd()}\n`, printed.slice(0, printed.lastIndexOf("logits")), name);
      assert.match(await text("#speed"), /^64 tokens, [\d,]+ a second here$/);
    }
    for (const [question, answer] of pairs) {
      const result = await ask(question);
      if (name === "stories-backward") assert.match(result, new RegExp(`log-probability -${Math.floor(parseInt(answer) / 1000)}\\.`));
      else if (name === "home-words") assert.deepEqual(result.split("\n").filter((line) => /^[a-z]+$/.test(line)).slice(0, 3), answer.split(" "));
      else assert.equal(result.split("\n")[0], answer, `${name}: ${question}`);
    }
    if (name === "home-slots") {
      assert.match(await ask("play some jazz in the kitchen"), /^play some jazz music in the kitchen room\n[^]*music: jazz\n99/);
      assert.equal(await browser.run(() => document.querySelectorAll("#result mark").length), 2);
    }
  }
  await choose("home-intent");
  assert.equal(await browser.run(() => document.querySelectorAll("#result .bars li").length), 0, "an old answer is gone");
}

async function writingCanBeStopped() {
  await choose("stories");
  await browser.run(() => {
    document.querySelector("#most").value = 400;
    document.querySelector("#temperature").value = 1;
    begin("One day");
  });
  await browser.until("text", () => document.querySelector("#result").innerText.length > 40);
  await click("#stop");
  await browser.until("the end", () => !document.querySelector("#run").disabled);
  assert.match(await text("#speed"), /^\d+ tokens/);
}

async function anyBlobCanBeDropped() {
  const blob = await readFile(`${examples}/common/models/home-intent.kinglet`);
  await give("mine.kinglet", blob);
  await shown("#status", "mine.kinglet");
  assert.match(await ask("I need light in the cellar!"), /^light\.on/);
  assert.match(await text("#bits"), /golden vectors? in the blob: equal/);
  assert.equal(await browser.run(() => document.querySelectorAll("#bits .boards").length), 0, "no board has printed a hash for it");
  await browser.run((bytes) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], "dropped.kinglet"));
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }, blob.toString("base64"));
  await shown("#status", "dropped.kinglet");

  // What is no blob is refused, and the model that was open stays.
  const changed = Buffer.from(blob);
  changed[blob.length - 1000] ^= 1;
  for (const [name, bytes, words] of [
    ["empty.kinglet", Buffer.alloc(0), "fewer"],
    ["text.kinglet", Buffer.from("This is a letter, and no model at all. ".repeat(9)), "KNGL"],
    ["cut.kinglet", blob.subarray(0, 100_000), "bytes"],
    ["changed.kinglet", changed, "checksum"],
  ]) {
    await give(name, bytes);
    await browser.until(`what is wrong with ${name}`, () => !document.querySelector("#error").hidden);
    assert.ok((await text("#error")).includes(words), `${name}: ${await text("#error")}`);
    assert.match(await ask("Skip to the next song"), /^music\.next/);
  }
}

async function aFolderIsConverted() {
  await browser.type("#folder", checkpoint);
  await browser.until("a blob to save", () => document.querySelector("#status a") || !document.querySelector("#error").hidden);
  assert.ok(await browser.run(() => document.querySelector("#error").hidden), await text("#error"));
  const bytes = await browser.run(async () => {
    const blob = new Uint8Array(await (await fetch(document.querySelector("#status a").href)).arrayBuffer());
    let all = "";
    for (let at = 0; at < blob.length; at += 32768) all += String.fromCharCode(...blob.subarray(at, at + 32768));
    return btoa(all);
  });
  assert.ok(Buffer.from(bytes, "base64").equals(await readFile(converted)), "the page and this machine convert to equal bytes");
  assert.match(await ask("I need light in the cellar!"), /^light\.on/);
}

async function boardsFollowTheLength() {
  await choose("stories");
  const before = await text("#boards");
  assert.match(await text("#ram"), /^64 tokens: \d/);
  await browser.type("#length", END);
  await shown("#ram", "256 tokens");
  await browser.until("other boards", (old) => document.querySelector("#boards").innerText !== old, before);
  assert.match(await text("#boards"), /Raspberry Pi Pico/);
  assert.equal(await browser.run(() => document.querySelectorAll("#boards tr").length), 26);
}

async function everythingHasANameAndAKey() {
  await choose("stories");
  const { nodes } = await browser.devtools("Accessibility.getFullAXTree");
  const nameless = nodes.filter(({ properties = [], name, role }) => role.value !== "RootWebArea" && properties.some((of) => of.name === "focusable" && of.value.value) && !name?.value);
  assert.deepEqual(nameless.map(({ role }) => role.value), [], "what can be focused has a name");
  // By keys alone: the next model, a text, its answer.
  await browser.run(() => document.querySelector("input[value=stories]").focus());
  await browser.press(ARROW_DOWN);
  await browser.until("the next model", () => document.querySelector("input[value=home-intent]").checked && document.querySelector("#status").innerText.startsWith("Intents"));
  for (let steps = 0; (await browser.run(() => document.activeElement.id)) !== "text"; steps++) {
    assert.ok(steps < 20, "the text is reached by the tabulator");
    await browser.press(TAB);
  }
  await browser.run(() => document.activeElement.select());
  await browser.press(..."skip this song\n".replace("\n", "\uE007"));
  await shown("#result", "music.next");
}

/** The contrast of two colors, as WCAG 2 has it. */
function contrast(a, b) {
  const light = ([r, g, b]) => {
    const part = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const [more, less] = [light(a), light(b)].sort((x, y) => y - x);
  return (more + 0.05) / (less + 0.05);
}

async function itIsReadableInLightAndDarkAndOnAPhone() {
  for (const scheme of ["light", "dark"]) {
    await browser.devtools("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
    for (const [name, question] of [["home-slots", "set the lights in the living room to thirty percent at half past six"], ["home-intent", "Wake me up at half past six."], ["stories", "Once there was a brave little fox."], ["stories-backward", "They played together until the sun went down."]]) {
      await choose(name);
      await ask(question);
      const pairs = await browser.run(() => {
        const color = (text) => text.match(/[\d.]+/g).slice(0, 3).map(Number);
        const under = (of) => {
          for (let at = of; at; at = at.parentElement) {
            const { backgroundColor } = getComputedStyle(at);
            if (!backgroundColor.startsWith("color") && !backgroundColor.endsWith(", 0)")) return backgroundColor;
          }
        };
        const all = [...document.querySelectorAll("h1, h2, p, li, td, th, label, button, summary, mark, small, dt, dd, a")].filter((of) => of.innerText?.trim() && of.checkVisibility());
        return all.map((of) => [of.innerText.slice(0, 40), color(getComputedStyle(of).color), color(under(of))]);
      });
      for (const [words, ink, paper] of pairs) assert.ok(contrast(ink, paper) >= 4.5, `${scheme}: "${words}" has a contrast of ${contrast(ink, paper).toFixed(1)}`);
      if (screenshots) await shoot(`${name}-${scheme}`, 1100);
    }
    for (const name of ["home-slots", "stories", "search"]) {
      await browser.devtools("Emulation.setDeviceMetricsOverride", { width: 390, height: 844, deviceScaleFactor: 1, mobile: true });
      await choose(name);
      await ask("turn the lights off in the kitchen");
      assert.ok((await browser.run(() => document.documentElement.scrollWidth)) <= 390, "nothing is wider than a phone");
      if (screenshots) await shoot(`${name}-${scheme}-phone`, 390);
      await browser.devtools("Emulation.clearDeviceMetricsOverride");
    }
  }
}

/** A picture of the whole page. */
async function shoot(name, width) {
  const height = await browser.run(() => document.documentElement.scrollHeight);
  await browser.devtools("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 500 });
  await writeFile(join(screenshots, `${name}.png`), await browser.screenshot());
  await browser.devtools("Emulation.clearDeviceMetricsOverride");
}

async function itOpensFromAServerAndWithoutOne() {
  const types = { html: "text/html", js: "text/javascript" };
  const server = createServer(async ({ url }, response) => {
    const path = url === "/" ? "/index.html" : url;
    const bytes = await readFile(join(page, path)).catch(() => null);
    response.writeHead(bytes ? 200 : 404, { "content-type": types[path.split(".").at(-1)] ?? "text/plain" });
    response.end(bytes);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}/`;
  await browser.open(url);
  await choose("home-command");
  await browser.until("the files kept", async () => (await navigator.serviceWorker?.ready) && (await (await caches.open("kinglet")).keys()).length > 7);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await browser.open(url);
  await choose("home-words");
  assert.match(await ask("set a [MASK] for ten minutes"), /^timer/);
}

try {
  await browser.open(pathToFileURL(join(page, "index.html")).href);
  await shown("#status", "Stories");
  for (const test of TESTS) {
    const start = Date.now();
    await test();
    console.log(`${test.name}: ${((Date.now() - start) / 1000).toFixed(1)} s`);
  }
  const errors = (await browser.errors()).filter((error) => !error.includes("ERR_CONNECTION_REFUSED"));
  assert.deepEqual(errors, [], "the console has no errors");
} finally {
  await browser.end();
}
