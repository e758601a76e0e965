// Runs the model and conversions in a worker, so that the page stays responsive.

let model;
let stopped = false;

const methods = {
  async open({ module, blob }) {
    // The previous model stays open if this one fails to open.
    model = await Model.open(module, blob);
    return { ...model, inspected: model.inspect() };
  },
  selfTest: () => model.selfTest(),
  memory: ({ tokens }) => tokens.map((length) => model.memory(length)),
  fit: ({ tokens }) => model.fit(tokens),
  hashes: ({ name, printed }) => hashes(model, name, printed, fingerprint),
  classify: ({ text }) => model.classify(text),
  tag: ({ text }) => model.tag(text),
  fillMask: ({ text }) => model.fillMask(text),
  answer: ({ text, context }) => model.answer(text, context),
  score: ({ text }) => model.score(text),
  hidden: ({ text }) => {
    const rows = model.logits(text);
    return { tokens: rows.length, width: rows[0]?.length ?? 0, fingerprint: fingerprint(rows) };
  },
  /** The cosine similarities of the other texts to the first. */
  nearest({ text, others }) {
    const unit = (vector) => vector.map((x) => x / Math.hypot(...vector));
    const wanted = unit(model.embed(text));
    const near = others.map((other) => ({ label: other, score: unit(model.embed(other)).reduce((sum, x, i) => sum + x * wanted[i], 0) }));
    return near.sort((a, b) => b.score - a.score);
  },
  async generate({ text, options }, tell) {
    stopped = false;
    let [tokens, awake, start] = [0, performance.now(), 0];
    for (const step of model.steps(text, options)) {
      // The time of the first token includes reading the text.
      start ||= performance.now();
      tokens += step.token === null ? 0 : 1;
      tell(step.text);
      if (performance.now() - awake > 16) {
        await new Promise((resume) => setTimeout(resume));
        awake = performance.now();
      }
      if (stopped) break;
    }
    const seconds = (performance.now() - start) / 1000;
    return { tokens, perSecond: tokens > 1 && seconds > 0 ? (tokens - 1) / seconds : null };
  },
  stop: () => {
    stopped = true;
  },
  async convert({ module, name, files, options }, tell) {
    const read = files.map(([path, file]) => [`${name}/${path}`, new Uint8Array(new FileReaderSync().readAsArrayBuffer(file))]);
    let errors = "";
    const print = (text, error) => {
      errors += error ? text : "";
      tell(text);
    };
    const wasi = new Wasi(["kinglet", "convert", `/${name}`, "--output", "/model.kinglet", ...options], read, print);
    const code = await wasi.run(module);
    if (code !== 0) throw new Error(errors.trim() || `the converter ended with ${code}`);
    return wasi.read("model.kinglet").slice();
  },
};

self.onmessage = async ({ data: { id, method, given } }) => {
  const start = performance.now();
  try {
    const result = await methods[method](given, (piece) => self.postMessage({ id, piece }));
    self.postMessage({ id, result, milliseconds: performance.now() - start });
  } catch (error) {
    self.postMessage({ id, error: { message: error.message, code: error.code ?? null } });
  }
};
