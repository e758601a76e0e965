// The user interface, and the calls to the worker.

const $ = (id) => document.getElementById(id);
const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const SHIPPED = [
  { name: "stories", title: "Stories", about: "writes a story, token by token" },
  { name: "home-intent", title: "Intents", about: "says what a sentence asks for" },
  { name: "home-slots", title: "Slots", about: "finds rooms, levels and times" },
  { name: "home-command", title: "Commands", about: "turns a sentence into a command" },
  { name: "home-words", title: "Masked words", about: "guesses words that are missing" },
  { name: "stories-backward", title: "Backward", about: "says how likely a text is, from its end" },
  { name: "search", title: "Search", about: "finds the phrase that a question means", context: PHRASES },
];

/** Cores that print the expected hash: CI runs the examples on each. */
const CORES = "Cortex-M0+, M3, M4F, M7, M33, M55 and RISC-V RV32IMC";

// Data in scripts next to the page, because a page opened from a folder can load scripts only.

const waiting = new Map();
/** Scripts in `data/` call this function with their contents in base 64. */
globalThis.kinglet = (name, text) => waiting.get(name)?.(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
const loaded = new Map();
function data(name) {
  if (!loaded.has(name)) {
    const promise = new Promise((resolve, reject) => {
      waiting.set(name, resolve);
      const failed = () => reject(new Error(`data/${name}.js is missing: \`cargo xtask browser\` makes it`));
      document.head.append(element("script", { src: `data/${name}.js`, onerror: failed }));
    });
    promise.catch(() => loaded.delete(name));
    loaded.set(name, promise);
  }
  return loaded.get(name);
}
const compiled = new Map();
function module(name) {
  if (!compiled.has(name)) compiled.set(name, data(name).then((bytes) => WebAssembly.compile(bytes)));
  return compiled.get(name);
}

// The worker.

class Remote {
  #worker;
  #calls = new Map();
  #last = 0;

  constructor() {
    const source = new Blob([$("engine").textContent], { type: "text/javascript" });
    this.#worker = new Worker(URL.createObjectURL(source));
    this.#worker.onmessage = ({ data: { id, piece, result, error, milliseconds } }) => {
      const call = this.#calls.get(id);
      if (piece !== undefined) return call?.tell?.(piece);
      this.#calls.delete(id);
      this.milliseconds = milliseconds;
      if (error) call?.reject(Object.assign(new Error(error.message), { code: error.code }));
      else call?.resolve(result);
    };
  }

  /** Calls a method; `tell` receives intermediate results. */
  ask(method, given = {}, tell) {
    const id = ++this.#last;
    const answer = new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject, tell }));
    this.#worker.postMessage({ id, method, given });
    return answer;
  }

  end() {
    this.#worker.terminate();
    for (const { reject } of this.#calls.values()) reject(new Error("it was stopped"));
  }
}

const remote = new Remote();
let model;
let task;

// Opening a model.

function told(status) {
  $("error").hidden = true;
  $("status").textContent = status;
}

function failed(error) {
  $("status").textContent = "";
  $("error").textContent = error.message;
  $("error").hidden = false;
}

/** Opens a blob. A model that ships has a `name`, and texts to begin with. */
async function open(title, blob, name) {
  const about = await remote.ask("open", { module: await module("kinglet"), blob });
  model = about;
  told(`${title}: ${kilobytes(about.bytes)}, for ${about.task.replaceAll("-", " ")}, ${plural(about.positions, "position")}.`);
  $("opened").hidden = false;
  $("result").replaceChildren();
  $("speed").textContent = "";
  const texts = name ? EXAMPLES[name].texts(EXPECTED[EXAMPLES[name].example]) : [];
  $("examples").replaceChildren(
    ...texts.map((text) => element("button", { type: "button", textContent: text, onclick: () => begin(text) })),
  );
  $("examples").hidden = texts.length < 2;
  const names = tasksOf(about);
  $("tasks").replaceChildren(...names.map((each) => element("button", { type: "button", textContent: TASKS[each].title, onclick: () => choose(each) })));
  $("tasks").hidden = names.length < 2;
  choose(names[0]);
  const { context } = SHIPPED.find((shipped) => shipped.name === name) ?? {};
  const first = texts.length ? { text: texts[0], context } : sample(names[0]);
  $("text").value = first.text;
  $("context").value = first.context ?? "";
  await Promise.all([board(), bits(name)]);
}

function choose(name) {
  task = TASKS[name];
  for (const button of $("tasks").children) button.setAttribute("aria-pressed", button.textContent === task.title);
  $("text-label").textContent = task.label ?? "Text";
  $("context-row").hidden = !task.context;
  $("context-label").textContent = task.context ?? "";
  $("how").hidden = !task.options;
  $("run").textContent = task.run ?? task.title;
  $("result").replaceChildren();
}

function begin(text) {
  $("text").value = text;
  $("form").requestSubmit();
}

$("form").onsubmit = async (event) => {
  event.preventDefault();
  if (!model || $("run").disabled) return;
  $("run").disabled = true;
  $("speed").textContent = "";
  told($("status").textContent);
  const result = $("result");
  result.replaceChildren();
  try {
    const said = await task.show($("text").value, result, $("context").value);
    $("speed").textContent = said ?? `${rounded(remote.milliseconds)} ms here`;
  } catch (error) {
    failed(error);
  } finally {
    $("run").disabled = false;
  }
};
$("stop").onclick = () => remote.ask("stop");
for (const area of [$("text"), $("context")]) {
  area.onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey || (area === $("text") && !event.shiftKey))) {
      event.preventDefault();
      $("form").requestSubmit();
    }
  };
}

// On a board.

async function board() {
  const { payloadBytes, tokenizerBytes, goldenBytes } = model.inspected;
  const rest = model.bytes - payloadBytes - tokenizerBytes - goldenBytes;
  const parts = [["weights", payloadBytes, "var(--bar)"], ["tokenizer", tokenizerBytes, "var(--accent)"], ["golden vectors", goldenBytes, "var(--good)"], ["the rest", rest, "var(--soft)"]];
  const bar = element("div", { className: "parts", ariaHidden: "true" });
  const key = element("ul", { className: "key" });
  for (const [name, bytes, color] of parts.filter(([, bytes]) => bytes > 0)) {
    const part = element("i");
    part.style.cssText = `background:${color};width:${(100 * bytes) / model.bytes}%`;
    bar.append(part);
    const swatch = element("i", { ariaHidden: "true" });
    swatch.style.background = color;
    key.append(element("li", {}, swatch, `${name} ${kilobytes(bytes)}`));
  }
  $("bytes").replaceChildren(element("p", { textContent: `${plural(model.bytes, "byte")} of flash` }), bar, key);
  const most = model.positions;
  $("length").max = most;
  $("length").value = Math.min(most, 64);
  // RAM grows in steps: shows every length of a short model, and a hundred lengths of a long one.
  const tokens = [...new Set(Array.from({ length: 101 }, (_, step) => Math.max(1, Math.round((step * most) / 100))))];
  curve(await remote.ask("memory", { tokens }), most);
  await length();
}

function curve(points, most) {
  const top = Math.max(...points.map(({ arena }) => arena));
  const at = ({ tokens, arena }) => `${((600 * tokens) / most).toFixed(1)},${(118 - (112 * arena) / top).toFixed(1)}`;
  const shape = (d, className) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", d);
    path.setAttribute("class", className);
    return path;
  };
  const line = `M${points.map(at).join("L")}`;
  const mark = document.createElementNS("http://www.w3.org/2000/svg", "line");
  mark.id = "mark";
  $("curve").replaceChildren(shape(`${line}L600,120L${(600 * points[0].tokens) / most},120Z`, "area"), shape(line, "curve"), mark);
  $("curve").setAttribute("aria-label", `RAM by the longest text: ${kilobytes(points[0].arena)} for ${plural(points[0].tokens, "token")}, ${kilobytes(top)} for ${most}`);
}

let asked = 0;
async function length() {
  const [tokens, turn] = [+$("length").value, ++asked];
  const [[{ arena, cache }], boards] = await Promise.all([remote.ask("memory", { tokens: [tokens] }), remote.ask("fit", { tokens })]);
  if (turn !== asked) return;
  $("ram").textContent = `${plural(tokens, "token")}: ${kilobytes(arena)} of RAM, ${kilobytes(cache)} of it for keys and values`;
  $("length").setAttribute("aria-valuetext", plural(tokens, "token"));
  const x = (600 * tokens) / model.positions;
  for (const [name, value] of Object.entries({ x1: x, x2: x, y1: 0, y2: 120 })) $("mark")?.setAttribute(name, value);
  boards.sort((a, b) => b.fits - a.fits || a.estimated_milliseconds_per_token - b.estimated_milliseconds_per_token);
  const cell = (name, text, className = "number") => {
    const made = element("td", { className, textContent: text });
    made.dataset.name = name;
    return made;
  };
  $("boards").replaceChildren(
    ...boards.map((of) =>
      element(
        "tr",
        {},
        element("th", { scope: "row", textContent: of.board }, element("small", { textContent: of.chip })),
        element("td", { textContent: of.core }, element("small", { textContent: `${of.megahertz} MHz` })),
        element("td", { className: of.fits ? "yes" : "no", textContent: of.fits ? "✓ fits" : `✗ too little ${of.flash_left === null ? "flash" : "RAM"}` }),
        cell("flash left", of.flash_left === null ? "–" : kilobytes(of.flash_left)),
        cell("RAM left", of.ram_left === null ? "–" : kilobytes(of.ram_left)),
        cell("a token", of.fits ? `${rounded(of.estimated_milliseconds_per_token)} ms` : "–"),
      ),
    ),
  );
}
$("length").oninput = length;

// Comparison with boards.

async function bits(name) {
  const row = (term, text, className = "") => [element("dt", { textContent: term }), element("dd", { textContent: text, className })];
  const list = element("dl");
  const note = element("p", { className: "note" });
  $("bits").replaceChildren(list, note);
  const vectors = await remote.ask("selfTest").then((count) => `${plural(count, "golden vector")} in the blob: equal`, (error) => error.message);
  list.append(...row("Self test", vectors));
  if (!name) {
    note.textContent = "A board that runs this blob’s self test gets these bits, or says which layer differs.";
    return;
  }
  const { example } = EXAMPLES[name];
  const { here, boards } = await remote.ask("hashes", { name, printed: EXPECTED[example] });
  list.append(...row("This page", here, "hash here"), ...row("Boards", boards, "hash boards"), ...row("", here === boards ? "✓ equal" : "✗ different", here === boards ? "yes" : "no"));
  note.textContent = `The hash of all logits of the example “${example}”, as ${CORES} print it.`;
}

// Sources of models.

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    failed(error);
  }
}

$("models").append(
  ...SHIPPED.map(({ name, title, about }) => {
    const choice = element("input", { type: "radio", name: "model", value: name, className: "unseen" });
    choice.onchange = () => {
      told(`${title} is being opened…`);
      attempt(async () => open(title, await data(name), name));
    };
    return element("label", {}, choice, element("b", { textContent: title }), element("span", { textContent: about }));
  }),
);

async function file(given) {
  for (const choice of document.getElementsByName("model")) choice.checked = false;
  told(`${given.name} is being opened…`);
  await attempt(async () => open(given.name, new Uint8Array(await given.arrayBuffer())));
}

/** Converts a checkpoint, given as files with their paths, and opens the blob. */
async function convert(title, files) {
  for (const choice of document.getElementsByName("model")) choice.checked = false;
  if (!files.some(([path]) => path.split("/").at(-1) === "config.json")) {
    return failed(new Error(`${title} has no config.json\ndrop the folder of a checkpoint: the one with config.json in it`));
  }
  told(`${title} is being converted: this may take minutes for a large model.`);
  const log = $("log");
  log.textContent = "";
  log.hidden = $("cancel").hidden = false;
  const other = new Remote();
  $("cancel").onclick = () => other.end();
  await attempt(async () => {
    const options = ["--weights", $("weights").value];
    const blob = await other.ask("convert", { module: await module("convert"), name: title, files, options }, (text) => {
      log.append(text);
      log.scrollTop = log.scrollHeight;
    });
    await open(title, blob);
    const link = element("a", { href: URL.createObjectURL(new Blob([blob])), download: `${title}.kinglet`, textContent: "Save the blob" });
    $("status").append(" ", link);
  });
  $("cancel").hidden = true;
  other.end();
}

/** The files below a dropped folder, with their relative paths. */
async function below(folder, before = "") {
  const reader = folder.createReader();
  const found = [];
  for (let entries; (entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length; ) {
    for (const entry of entries) {
      const path = before + entry.name;
      if (entry.isDirectory) found.push(...(await below(entry, `${path}/`)));
      else found.push([path, await new Promise((resolve, reject) => entry.file(resolve, reject))]);
    }
  }
  return found;
}

$("blob").onchange = ({ target }) => {
  if (target.files[0]) file(target.files[0]);
  // Allows opening a file again.
  target.value = "";
};
$("folder").onchange = ({ target }) => {
  const files = [...target.files].map((each) => [each.webkitRelativePath.split("/").slice(1).join("/"), each]);
  if (files.length) convert(target.files[0].webkitRelativePath.split("/")[0], files);
  target.value = "";
};
document.ondragover = (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
};
document.ondragleave = (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
};
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const entry = event.dataTransfer.items[0]?.webkitGetAsEntry?.();
  if (entry?.isDirectory) attempt(async () => convert(entry.name, await below(entry)));
  else if (event.dataTransfer.files[0]) file(event.dataTransfer.files[0]);
};

if (location.protocol.startsWith("http") && "serviceWorker" in navigator) navigator.serviceWorker.register("offline.js");
document.querySelector("#models input").click();
