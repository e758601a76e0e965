// `node check.mjs MODULE BLOB TOKENS TEXT` prints what the page would show.
import { readFile } from "node:fs/promises";
import { storyteller } from "./story.mjs";

const [module, blob, tokens, text] = process.argv.slice(2);
const write = await storyteller(await readFile(module), await readFile(blob), (piece) => process.stdout.write(piece));
process.exitCode = write(text, Number(tokens)) ? 0 : 1;
