/** An error whose message states the problem and its remedy. */
export class KingletError extends Error {
  /** The code of the runtime's error in `docs/errors.md`, or null if it is not an error of the runtime. */
  code: number | null;
}

/** A task, with the name of the `transformers` pipeline. */
export type Task =
  | "feature-extraction"
  | "sentence-similarity"
  | "text-generation"
  | "fill-mask"
  | "text-classification"
  | "token-classification"
  | "question-answering"
  | "replaced-token-detection";

/** A token of a text; `start` and `end` are offsets in the string. */
export interface Token {
  id: number;
  /** The token's segment (token type). */
  type: number;
  /** The text that the token is part of: 0, 1, or null for special tokens. */
  text: number | null;
  start: number;
  end: number;
  /** Whether the token continues the word of the previous token. */
  continues: boolean;
}

export interface Label {
  label: string;
  score: number;
}

export interface Entity {
  entity: string;
  score: number;
  start: number;
  end: number;
}

export interface Mask {
  /** The index of the mask token. */
  position: number;
  guesses: { token: number; text: string; score: number }[];
}

export interface Step {
  token: number | null;
  /** The text that the token completes. */
  text: string;
  /** The reason for the end of the text; null before the end. */
  ended: "stop" | "length" | null;
  /** The logits that the token was chosen from, in fixed point. */
  logits?: Int32Array;
}

export interface Fit {
  board: string;
  chip: string;
  core: string;
  megahertz: number;
  fits: boolean;
  /** Bytes that are left; null if the blob does not fit. */
  flash_left: number | null;
  /** The length of the longest text that fits, in tokens. */
  tokens: number | null;
  ram_left: number | null;
  /** The estimated time per token. */
  estimated_milliseconds_per_token: number;
}

/** Sampling options; the checkpoint's defaults apply to missing ones. */
export interface GenerateOptions {
  maxNewTokens?: number;
  /** 0 always takes the likeliest token. */
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: number;
  /** The first tokens of an encoder-decoder's output. */
  decoderIds?: number[];
}

/** A model in an instance of the module. */
export class Model {
  /** Opens a blob in a new instance of a compiled module. */
  static open(module: WebAssembly.Module, blob: Uint8Array): Promise<Model>;
  readonly task: Task;
  /** The head's task, with its name in the blob format. */
  readonly head: string;
  readonly encoder: boolean;
  readonly decoder: boolean;
  /** Whether the model reads texts from their end. */
  readonly backward: boolean;
  /** The maximum number of tokens of a text. */
  readonly positions: number;
  /** The number of fraction bits of a logit. */
  readonly fractionBits: number;
  /** The number of outputs of the head. */
  readonly width: number;
  /** The size of the blob in bytes. */
  readonly bytes: number;
  readonly mask: number | null;
  /** The text of the mask token. */
  readonly maskText: string | null;
  readonly tokenizer: boolean;
  readonly labels: string[];
  readonly prompts: Record<string, string>;
  readonly defaultPrompt: string | null;
  inspect(): Record<string, unknown>;
  selfTest(): number;
  memory(tokens: number): { tokens: number; arena: number; cache: number };
  fit(tokens?: number | null): Fit[];
  tokenize(text: string, options?: { pair?: string | null; addSpecialTokens?: boolean; maxLength?: number | null }): Token[];
  decode(ids: Iterable<number>, options?: { skipSpecialTokens?: boolean }): string;
  logits(input: string | Iterable<number>, options?: { pair?: string | null; decoderIds?: Iterable<number> }): Int32Array[];
  classify(text: string, options?: { pair?: string | null; topK?: number | null }): Label[];
  tag(text: string): { tokens: (Token & Label)[]; entities: Entity[] };
  fillMask(text: string, options?: { topK?: number }): Mask[];
  answer(question: string, context: string, options?: { maxLength?: number }): { start: number; end: number; answer: string; margin: number } | null;
  embed(text: string, options?: { prompt?: string | null }): Float32Array;
  score(text: string): (Token & { logProb: number | null })[];
  steps(input: string | Iterable<number>, options?: GenerateOptions & { logits?: boolean }): Generator<Step, void, void>;
  generate(input: string | Iterable<number>, options?: GenerateOptions): Generator<string, void, void>;
}

/** Opens a blob with the module of this package. */
export function load(blob: Uint8Array): Promise<Model>;

/** The fingerprint of rows of integers, as boards print it; `before` is the fingerprint of the preceding rows. */
export function fingerprint(rows: Iterable<Iterable<number>>, before?: string): string;
