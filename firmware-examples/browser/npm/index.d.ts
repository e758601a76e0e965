/** What is wrong, and what to do about it. */
export class KingletError extends Error {
  /** The number of the runtime's error in `docs/errors.md`, or null where the error is not the runtime's. */
  code: number | null;
}

/** A task, as the pipelines of `transformers` call it. */
export type Task =
  | "feature-extraction"
  | "sentence-similarity"
  | "text-generation"
  | "fill-mask"
  | "text-classification"
  | "token-classification"
  | "question-answering"
  | "replaced-token-detection";

/** A token of a text; `start` and `end` are places in the string. */
export interface Token {
  id: number;
  /** The segment it is in. */
  type: number;
  /** Which of two texts it is of, or neither. */
  text: number | null;
  start: number;
  end: number;
  /** It goes on with the word of the token before it. */
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
  /** The place of the mask among the tokens. */
  position: number;
  guesses: { token: number; text: string; score: number }[];
}

export interface Step {
  token: number | null;
  /** The text that the token completes. */
  text: string;
  /** Why the text has ended; null while it goes on. */
  ended: "stop" | "length" | null;
  /** What the token was chosen from, in fixed point. */
  logits?: Int32Array;
}

export interface Fit {
  board: string;
  chip: string;
  core: string;
  megahertz: number;
  fits: boolean;
  /** Bytes; null where the blob does not fit. */
  flash_left: number | null;
  /** The longest text that fits. */
  tokens: number | null;
  ram_left: number | null;
  /** An estimate. */
  estimated_milliseconds_per_token: number;
}

/** How tokens are chosen; what is left out is as the checkpoint says. */
export interface GenerateOptions {
  maxNewTokens?: number;
  /** 0 takes the likeliest token. */
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: number;
  /** What the output of an encoder-decoder begins with. */
  decoderIds?: number[];
}

/** A model in an instance of the module. */
export class Model {
  /** Opens a blob in a new instance of a compiled module. */
  static open(module: WebAssembly.Module, blob: Uint8Array): Promise<Model>;
  readonly task: Task;
  /** The head's task, as the format calls it. */
  readonly head: string;
  readonly encoder: boolean;
  readonly decoder: boolean;
  /** It reads texts from their end. */
  readonly backward: boolean;
  /** The longest text, in tokens. */
  readonly positions: number;
  /** Bits of a logit after the binary point. */
  readonly fractionBits: number;
  /** Outputs of the head. */
  readonly width: number;
  /** Bytes of the blob. */
  readonly bytes: number;
  readonly mask: number | null;
  /** How a mask is written in a text. */
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

/** Opens a blob, with the module of this package. */
export function load(blob: Uint8Array): Promise<Model>;

/** The fingerprint of rows of integers, as boards print it; `before` is that of the rows before them. */
export function fingerprint(rows: Iterable<Iterable<number>>, before?: string): string;
