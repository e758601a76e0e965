import { Model } from "./kinglet.js";

export { KingletError, Model, fingerprint } from "./kinglet.js";

let compiled;

/** Opens a blob, with the module next to this file. */
export async function load(blob) {
  compiled ??= WebAssembly.compile(await bytes(new URL("kinglet.wasm", import.meta.url)));
  return Model.open(await compiled, blob);
}

async function bytes(url) {
  if (url.protocol !== "file:") return (await fetch(url)).arrayBuffer();
  const { readFile } = await import("node:fs/promises");
  return readFile(url);
}
