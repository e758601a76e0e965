// Runs the examples of the boards; each has a hash of logits, which `firmware-examples/expected` also has.

/** For each model that ships, the example that boards run, with its texts and its rows of logits. */
export const EXAMPLES = {
  stories: {
    example: "generate",
    texts: (printed) => [printed.slice(0, printed.indexOf(".") + 1)],
    *rows(model, text) {
      for (const { logits } of model.steps(text, { maxNewTokens: 64, logits: true })) yield logits;
    },
  },
  "home-intent": {
    example: "classify",
    texts: (printed) => before(printed, " -> "),
    rows: (model, text) => model.logits(text),
  },
  "home-slots": {
    example: "tag",
    texts: (printed) => lines(printed).slice(1, -1).map((line) => line.replace(/\/[BI]-\w+/g, "")),
    rows: (model, text) => model.logits(text),
  },
  "home-command": {
    example: "command",
    texts: (printed) => before(printed, " -> "),
    *rows(model, text) {
      for (const { logits } of model.steps(text, { logits: true })) yield logits;
    },
  },
  "home-words": {
    example: "fill_mask",
    texts: (printed) => before(printed, " -> "),
    rows(model, text) {
      const rows = model.logits(text);
      return model.fillMask(text).map(({ position }) => rows[position]);
    },
  },
  "stories-backward": {
    example: "score",
    texts: (printed) => before(printed, " -> "),
    rows: (model, text) => model.logits(text).slice(0, 1),
  },
  search: {
    example: "search",
    texts: (printed) => before(printed, " -> "),
    rows: (model, text) => model.logits(text),
  },
};

const lines = (printed) => printed.trimEnd().split("\n");
const before = (printed, mark) => lines(printed).filter((line) => line.includes(mark)).map((line) => line.split(mark)[0]);

/** The hash that boards print for a model that ships, and the hash computed here. */
export function hashes(model, name, printed, fingerprint) {
  const { texts, rows } = EXAMPLES[name];
  let here;
  for (const text of texts(printed)) here = fingerprint(rows(model, text), here);
  return { here, boards: lines(printed).at(-1).replace("logits ", "") };
}
