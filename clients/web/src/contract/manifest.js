// Reads and checks the manifest of a compiled model. graphc's docs/manifest.md explains each field.

const FORMAT = 'graphc.manifest/1';
const LARGEST = 2 ** 30;
const MOST_STREAMS = 4096;

/** Thrown when a manifest, a model or frames do not fit. */
export class GraphcError extends Error {
  name = 'GraphcError';
}

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
  float16: globalThis.Float16Array ?? Uint16Array,
};

/** The typed array class for a dtype of a manifest. */
export function arrayOf(dtype) {
  const found = Object.hasOwn(ARRAYS, dtype) ? ARRAYS[dtype] : undefined;
  if (!found) throw new GraphcError(`'${dtype}' is not a dtype that this client supports`);
  return found;
}

/** Reads a manifest from its text, and checks the fields that the client uses. */
export function readManifest(text) {
  let data;
  try {
    data = typeof text === 'string' ? JSON.parse(text) : text;
  } catch (error) {
    throw new GraphcError(`not a manifest of graphc: ${error.message}`);
  }
  if (data?.format !== FORMAT) throw new GraphcError('not a manifest of graphc');
  whole(data.chunk_multiple, 'chunk_multiple', 1);
  if (data.chunk !== null) whole(data.chunk, 'chunk', 1);
  if (data.streams != null) whole(data.streams, 'streams', 1, MOST_STREAMS);
  for (const list of ['inputs', 'outputs', 'states'])
    if (!Array.isArray(data[list])) throw new GraphcError(`not a manifest of graphc: ${list}: expected a list`);
  return data;
}

/** A port as the client uses it, for calls of chunk input frames. */
export function portOf(entry, chunk) {
  const step = entry.axis === null && entry.frames === 1;
  const fixed = entry.axis === null && !step;
  const [up, down] = entry.rate ?? [1, 1];
  const frames = entry.axis === null ? 1 : entry.frames ?? Math.floor((chunk * up) / down);
  const shape = entry.shape.map((size, axis) => (axis === entry.axis ? frames : Number.isInteger(size) ? size : 1));
  if (entry.axis !== null && !(entry.axis in entry.shape && (entry.frames === null || entry.shape[entry.axis] === frames)))
    throw new GraphcError(`the manifest's port '${entry.name}' has frames that contradict its shape`);
  for (const size of shape) whole(size, `shape of ${entry.name}`, 0);
  whole(frames, `frames of ${entry.name}`, 1);
  const count = shape.reduce((product, size) => product * size, 1);
  if (count > LARGEST) throw new GraphcError(`the manifest's port '${entry.name}' is too large: ${count} elements`);
  const outer = entry.axis === null ? 1 : shape.slice(0, entry.axis).reduce((product, size) => product * size, 1);
  const width = count / frames;
  return {
    name: entry.name,
    dtype: entry.dtype,
    Array: arrayOf(entry.dtype),
    axis: entry.axis,
    step,
    fixed,
    frames,
    shape,
    count,
    outer,
    width,
    delay: entry.delay ?? 0,
    length: (total) =>
      (entry.length ?? []).reduce((n, s) => Math.max(0, Math.floor((s.mul * n + s.add) / s.div)), total),
  };
}

/** Whether a value is a whole number within bounds. */
export function isWhole(value, least, most) {
  return Number.isInteger(value) && value >= least && value <= most;
}

function whole(value, name, least, most = LARGEST) {
  if (!isWhole(value, least, most))
    throw new GraphcError(`the manifest's ${name} is not valid: ${JSON.stringify(value)}`);
}
