// Tasks: the input form and the display of the answer.

const kilobytes = (bytes) => (bytes >= 1e6 ? `${(bytes / 1e6).toFixed(2)} MB` : `${(bytes / 1e3).toFixed(1)} KB`);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const rounded = (number) => (number >= 100 ? number.toFixed(0) : number.toFixed(1));
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

/** A list of names with bars; `show` formats the numbers. */
function bars(rows, show = percent) {
  const list = element("ol", { className: "bars" });
  for (const { label, score } of rows) {
    const bar = element("span");
    bar.style.width = `${100 * Math.max(0, Math.min(1, score))}%`;
    const track = element("span", { className: "track", ariaHidden: "true" }, bar);
    list.append(element("li", {}, element("span", { className: "name", textContent: label }), track, element("span", { className: "value", textContent: show(score) })));
  }
  return list;
}

const TASKS = {
  write: {
    title: "Write on",
    run: "Write",
    label: "Beginning",
    options: true,
    async show(text, result) {
      const written = element("p", { className: "written" });
      if (!model.encoder) written.append(element("span", { className: "given", textContent: text }));
      result.append(written);
      const options = { maxNewTokens: +$("most").value, temperature: +$("temperature").value, topP: +$("top-p").value, seed: +$("seed").value };
      const place = element("span");
      if (model.backward) written.prepend(place);
      else written.append(place);
      $("stop").hidden = false;
      result.setAttribute("aria-busy", "true");
      try {
        const { tokens, perSecond } = await remote.ask("generate", { text, options }, (piece) => place.append(piece));
        return plural(tokens, "token") + (perSecond ? `, ${Math.round(perSecond).toLocaleString("en")} a second here` : "");
      } finally {
        $("stop").hidden = true;
        result.removeAttribute("aria-busy");
      }
    },
  },
  classify: {
    title: "Classify",
    async show(text, result) {
      const rows = await remote.ask("classify", { text });
      if (model.head === "Regression") result.append(bars(rows, (score) => score.toFixed(3)));
      else result.append(bars(rows));
    },
  },
  tag: {
    title: "Tag",
    async show(text, result) {
      const { entities } = await remote.ask("tag", { text });
      const written = element("p", { className: "written" });
      const kinds = [...new Set(model.labels.map((label) => label.replace(/^[BI]-/, "")))].filter((kind) => kind !== "O");
      let end = 0;
      for (const entity of entities) {
        if (entity.entity === "O") continue;
        const mark = element("mark", { textContent: text.slice(entity.start, entity.end) }, element("small", { textContent: ` ${entity.entity}` }));
        mark.style.setProperty("--hue", (360 * kinds.indexOf(entity.entity)) / kinds.length + 20);
        written.append(text.slice(end, entity.start), mark);
        end = entity.end;
      }
      written.append(text.slice(end));
      const named = entities.filter((entity) => entity.entity !== "O");
      const rows = named.map(({ entity, score, start, end: stop }) => ({ label: `${entity}: ${text.slice(start, stop)}`, score }));
      result.append(written, element("h3", { className: "unseen", textContent: "How sure it is" }), bars(rows));
      if (!named.length) result.append("No word has a label.");
    },
  },
  fill: {
    title: "Fill in",
    async show(text, result) {
      const masks = await remote.ask("fillMask", { text });
      for (const [index, { guesses }] of masks.entries()) {
        if (masks.length > 1) result.append(element("h3", { textContent: `Mask ${index + 1}` }));
        result.append(bars(guesses.map(({ text: label, score }) => ({ label, score }))));
      }
    },
  },
  answer: {
    title: "Answer",
    label: "Question",
    context: "Context",
    async show(text, result, context) {
      const found = await remote.ask("answer", { text, context });
      const written = element("p", { className: "written" });
      if (!found) written.append("The context has no answer.");
      else {
        const mark = element("mark", { textContent: found.answer });
        mark.style.setProperty("--hue", 30);
        written.append(context.slice(0, found.start), mark, context.slice(found.end));
      }
      result.append(written);
    },
  },
  search: {
    title: "Search",
    label: "Query",
    context: "Texts, one per line",
    async show(text, result, context) {
      const others = context.split("\n").filter((line) => line.trim());
      const near = await remote.ask("nearest", { text, others });
      result.append(bars(near.slice(0, 10), (score) => score.toFixed(3)));
    },
  },
  score: {
    title: "How likely",
    async show(text, result) {
      const tokens = await remote.ask("score", { text });
      const written = element("p", { className: "written" });
      const known = tokens.filter(({ logProb }) => logProb !== null);
      for (const { start, end, logProb } of tokens) {
        const mark = element("mark", { className: "plain", textContent: text.slice(start, end) });
        if (logProb !== null) mark.title = percent(Math.exp(logProb));
        mark.style.setProperty("--share", `${logProb === null ? 0 : Math.round(100 * (1 - Math.exp(logProb)))}%`);
        written.append(mark);
      }
      const sum = known.reduce((total, { logProb }) => total + logProb, 0);
      const about = `Perplexity ${Math.exp(-sum / Math.max(1, known.length)).toFixed(1)}; the text has the log-probability ${sum.toFixed(2)}. Colored tokens surprised the model.`;
      result.append(written, element("p", { className: "note", textContent: about }));
    },
  },
  hidden: {
    title: "Hidden states",
    async show(text, result) {
      const { tokens, width, fingerprint } = await remote.ask("hidden", { text });
      result.append(`${plural(tokens, "row")} of ${width} numbers; their hash is ${fingerprint}.`);
    },
  },
};

const OF_HEAD = {
  "feature-extraction": ["hidden"],
  "sentence-similarity": ["search"],
  "fill-mask": ["fill", "score"],
  "text-classification": ["classify"],
  "token-classification": ["tag"],
  "replaced-token-detection": ["hidden"],
  "question-answering": ["answer"],
};

/** The tasks of a model, which depend on its head. */
function tasksOf({ task: head, encoder, backward }) {
  if (head !== "text-generation") return OF_HEAD[head];
  if (encoder) return ["write"];
  return backward ? ["score", "write"] : ["write", "score"];
}

/** Initial texts for models that do not ship with Kinglet. */
function sample(name) {
  const { maskText } = model;
  const [text, context] = {
    fill: [`The weather is ${maskText} today.`],
    answer: ["Where does the fox live?", "A brave little fox lived near the river. Every morning it had a cookie."],
    search: ["How do I reset the device?", "Hold the button for ten seconds to restore the factory settings.\nThe battery lasts for two years.\nThe warranty covers defects in material."],
  }[name] ?? ["Once upon a time there was a little fox."];
  return { text, context };
}
