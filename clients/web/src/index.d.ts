/** Thrown when a manifest, a model or frames do not fit. */
export class GraphcError extends Error {}

export type Samples =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

/** Frames of an output, in the layout of the offline model. */
export interface Found {
  frames: number;
  data: Samples;
}

export interface Port {
  readonly name: string;
  readonly dtype: string;
  readonly axis: number | null;
  readonly fixed: boolean;
  readonly frames: number;
  readonly shape: readonly number[];
  readonly width: number;
  readonly delay: number;
}

export interface Options {
  /** For a model whose calls may have any size: the number of smallest chunks in one call. */
  multiple?: number;
  /** One larger call replaces up to this many such calls, when that much is waiting. */
  catch_up?: number;
  /** Options for onnxruntime's session. */
  session?: object;
  /** The bytes of the files that the manifest names, by name. */
  files?: Record<string, ArrayBuffer | Uint8Array>;
  /** Begins another stream in a silence: below this root mean square, once the stream has lasted after_s seconds. */
  reset?: {below: number; after_s?: number};
}

export interface Manifest {
  readonly format: 'graphc.manifest/1';
  readonly chunk: number | null;
  readonly chunk_multiple: number;
  readonly frame_ms: number | null;
  readonly [field: string]: unknown;
}

export interface Decoder {
  readonly score: string;
  readonly place: number;
  readonly threshold: number;
  readonly smoothing: number;
  readonly patience: number;
  readonly refractory_s: number;
  readonly warm_up: number;
}

export interface PipelineManifest {
  readonly format: 'graphc.pipeline/1';
  readonly kind: string;
  readonly model: string;
  /** The URL of the joined model's manifest. */
  readonly manifest: string;
  readonly decoder: Decoder | null;
}

/** Reads the text of a pipeline.manifest.json that was loaded from a URL. */
export function readPipeline(text: string, url: string | URL): PipelineManifest;

/** Decides when scores count as a detection. */
export class Trigger {
  constructor(entry: Decoder, call_s: number);
  readonly seconds: number;
  readonly level: number;
  heard(score: number): boolean;
  reset(): void;
}

/** What was understood so far. If it is not final, another transcript with all of the utterance may follow. */
export interface Transcript {
  readonly text: string;
  readonly tokens: readonly number[];
  /** From the start of the stream to the last token. */
  readonly seconds: number;
  readonly final: boolean;
}

/** Runs a pipeline that ends in text, by greedy ctc or transducer decoding. */
export class TextPipeline {
  static open(ort: object, manifest: string | URL, options?: Options): Promise<TextPipeline>;
  readonly session: StreamSession;
  /** What the model gave in each call of the last push. */
  readonly outputs: readonly Record<string, Found>[];
  push(frames: Samples): Promise<Transcript[]>;
  flush(): Promise<Transcript[]>;
  reset(): Promise<void>;
}

export type Snapshot = {readonly fed: number};

export class StreamSession {
  static open(ort: object, manifest: string | URL, options?: Options): Promise<StreamSession>;
  static create(ort: object, manifest: string | Manifest, model: Uint8Array, options?: Options): Promise<StreamSession>;
  readonly manifest: Manifest;
  readonly chunk: number;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  reset(): void;
  push(frames: Samples | Record<string, Samples>): Promise<Record<string, Found>>;
  flush(): Promise<Record<string, Found>>;
  snapshot(): Snapshot;
  resume(snapshot: Snapshot): void;
}

/** Runs several streams in one call, each of which begins and ends at its own time. */
export class BatchSession {
  static open(ort: object, manifest: string | URL, options?: Pick<Options, 'session'>): Promise<BatchSession>;
  static create(
    ort: object,
    manifest: string | Manifest,
    model: Uint8Array,
    options?: Pick<Options, 'session' | 'files'>
  ): Promise<BatchSession>;
  readonly manifest: Manifest;
  /** The ports as one stream sees them. */
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** The number of places without a stream. */
  readonly free: number;
  /** Begins a stream, and returns the number of its place. */
  begin(): number;
  push(number: number, frames: Samples | Record<string, Samples>): void;
  /** No more frames will come: the next steps give the tail, and then free the place. */
  finish(number: number): void;
  /** Frees the place at once. The tail is lost. */
  drop(number: number): void;
  /** One call for all streams that have a chunk, or a tail, left; the new frames of each, by its number. */
  step(): Promise<Map<number, Record<string, Found>>>;
}

export function readManifest(text: string | object): Manifest;

/** A lock-free ring buffer of samples between two threads. */
export class Ring {
  constructor(samples: number, memory?: SharedArrayBuffer);
  static over(memory: SharedArrayBuffer): Ring;
  readonly memory: SharedArrayBuffer;
  readonly waiting: number;
  readonly lost: number;
  write(samples: Float32Array): number;
  read(into: Float32Array): number;
}

export interface Live {
  readonly worker: Worker;
  readonly memory: SharedArrayBuffer | null;
  readonly rate: number;
}

export interface LiveOptions {
  manifest: string;
  /** In place of manifest: the URL of the manifest of a pipeline that ends in text. */
  pipeline?: string | null;
  ort: string;
  rate: number;
  behind?: 'drop' | 'stop' | 'wait';
  most_s?: number;
  catch_up?: number;
}

export function openWorker(options: LiveOptions, see: (message: {kind: string; [field: string]: unknown}) => void): Promise<Live>;
export function openMicrophone(live: Live): Promise<() => Promise<void>>;
export function playFile(live: Live, bytes: ArrayBuffer, options?: {at_once?: boolean}): Promise<number>;
