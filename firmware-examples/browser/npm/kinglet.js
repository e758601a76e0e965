// A model in an instance of the WebAssembly module. Only this file calls the module; the page and the package use this file.

/** An error whose message states the problem and its remedy. `code` is the code of the runtime's error, or null. */
export class KingletError extends Error {
  constructor({ message, code }) {
    super(message);
    this.name = "KingletError";
    this.code = code ?? null;
  }
}

/** The fingerprint (FNV-1a over 32-bit words) of rows of integers, as boards print it; `before` is the fingerprint of the preceding rows. */
export function fingerprint(rows, before = "811c9dc5") {
  let hash = parseInt(before, 16);
  for (const row of rows) for (const value of row) hash = Math.imul(hash ^ value, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

/** An opened model; create it with `Model.open`. */
export class Model {
  #exports;
  #broken = false;
  #decoder = new TextDecoder();

  /** Opens a blob in a new instance of a compiled module. */
  static async open(module, blob) {
    const model = new Model();
    model.#exports = (await WebAssembly.instantiate(module, {})).exports;
    model.#put(blob);
    Object.assign(model, model.#run("open"));
    return model;
  }

  /** The sizes of the blob's parts, its specification, and its source. */
  inspect() {
    return this.#ask({ do: "inspect" });
  }

  /** Runs the golden vectors in the blob, and returns their number. Throws an error if a bit differs. */
  selfTest() {
    return this.#ask({ do: "selfTest" }).vectors;
  }

  /** The bytes of RAM for texts of `tokens` tokens: `{tokens, arena, cache}`. */
  memory(tokens) {
    return this.#ask({ do: "memory", tokens });
  }

  /** The boards that the blob fits, for texts of up to `tokens` tokens, or for the longest text that fits. */
  fit(tokens = null) {
    return this.#ask({ do: "fit", tokens });
  }

  /** The tokens of a text, with their offsets. */
  tokenize(text, { pair = null, addSpecialTokens = true, maxLength = null } = {}) {
    return this.#ask({ do: "tokenize", text, pair, yes: addSpecialTokens, tokens: maxLength });
  }

  /** The text of tokens. */
  decode(ids, { skipSpecialTokens = true } = {}) {
    return this.#ask({ do: "decode", ids: [...ids], yes: skipSpecialTokens });
  }

  /** The head's outputs for a text or token ids: rows of fixed-point integers with `fractionBits` fraction bits. */
  logits(input, { pair = null, decoderIds = [] } = {}) {
    const { ids, tokenTypes } = this.#read(input, pair);
    const { width } = this.#ask({ do: "logits", ids, tokenTypes, decoderIds: [...decoderIds] });
    const numbers = this.#numbers();
    return Array.from({ length: width ? numbers.length / width : 0 }, (_, row) => numbers.slice(row * width, (row + 1) * width));
  }

  /** Labels with their scores, the likeliest first. */
  classify(text, { pair = null, topK = 5 } = {}) {
    return this.#ask({ do: "classify", text, pair }).slice(0, topK ?? undefined);
  }

  /** The label of each token, and the entities that these form. */
  tag(text) {
    return this.#ask({ do: "tag", text });
  }

  /** The guesses for each mask of a text, the likeliest first. */
  fillMask(text, { topK = 5 } = {}) {
    return this.#ask({ do: "fillMask", text, tokens: topK });
  }

  /** The span of `context` that answers `question`, or null. */
  answer(question, context, { maxLength = 30 } = {}) {
    const found = this.#ask({ do: "answer", text: question, pair: context, tokens: maxLength });
    return found && { ...found, answer: context.slice(found.start, found.end) };
  }

  /** The vector of a text. */
  embed(text, { prompt = null } = {}) {
    return Float32Array.from(this.#ask({ do: "embed", text, pair: prompt }));
  }

  /** The log-probability of each token in nats, or null for tokens without one. */
  score(text) {
    return this.#ask({ do: "score", text });
  }

  /** Yields generated tokens: `{token, text, ended, logits}`; `logits` only if requested. */
  *steps(input, { logits = false, ...options } = {}) {
    this.#ask({ do: "begin", ...this.#read(input, null), options });
    for (let ended = null; !ended; ) {
      const step = this.#ask({ do: "next", yes: logits });
      ended = step.ended;
      if (step.token !== null || step.text) yield logits ? { ...step, logits: this.#numbers() } : step;
    }
  }

  /** Yields pieces of generated text. */
  *generate(input, options = {}) {
    for (const { text } of this.steps(input, options)) if (text) yield text;
  }

  /** A text or token ids, as fields of a request. */
  #read(input, pair) {
    if (typeof input !== "string") return { ids: [...input], tokenTypes: [] };
    const tokens = this.tokenize(input, { pair });
    return { ids: tokens.map((token) => token.id), tokenTypes: tokens.map((token) => token.type) };
  }

  #ask(request) {
    this.#put(new TextEncoder().encode(JSON.stringify(request)));
    return this.#run("call");
  }

  #put(bytes) {
    if (this.#broken) throw new KingletError({ message: "an earlier call failed in the module: open the blob again" });
    const at = this.#exports.input(bytes.length);
    new Uint8Array(this.#exports.memory.buffer, at, bytes.length).set(bytes);
  }

  #run(name) {
    const { memory, answer, answer_len } = this.#exports;
    let good;
    try {
      good = this.#exports[name]();
    } catch (error) {
      this.#broken = true;
      throw new KingletError({ message: `the module stopped (${error.message}): there may be too little memory for this model` });
    }
    const text = this.#decoder.decode(new Uint8Array(memory.buffer, answer(), answer_len()));
    const value = JSON.parse(text);
    if (!good) throw new KingletError(value.error);
    return value;
  }

  #numbers() {
    const { memory, numbers, numbers_len } = this.#exports;
    return new Int32Array(memory.buffer, numbers(), numbers_len()).slice();
  }
}
