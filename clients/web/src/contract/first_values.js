// First values of states: zeros, one number, or an array in an .npz beside the manifest, whose members are stored
// uncompressed.

import {GraphcError, arrayOf} from './manifest.js';

const LOCAL_FILE = 0x04034b50;

/**
 * Makes the array that a state starts from.
 * @param state an entry of the manifest's states
 * @param files the bytes of the files, by name
 */
export function firstValue(state, files) {
  const count = state.shape.reduce((product, size) => product * size, 1);
  const Kind = arrayOf(state.dtype);
  const {init} = state;
  if (init === 'zeros') return new Kind(count);
  if (init.fill !== undefined) return filled(Kind, state.dtype, count, Number(String(init.fill).replace('inf', 'Infinity')));
  const npz = files[init.file];
  if (!npz) throw new GraphcError(`the first value of '${state.input}' is in '${init.file}', which was not given`);
  const bytes = npzEntry(new Uint8Array(npz), `${init.key}.npy`);
  if (!bytes || bytes.byteLength !== count * Kind.BYTES_PER_ELEMENT)
    throw new GraphcError(`the first value of '${state.input}' cannot be read from '${init.file}'`);
  return new Kind(bytes.slice().buffer);
}

function filled(Kind, dtype, count, value) {
  if (Kind === BigInt64Array || Kind === BigUint64Array) return new Kind(count).fill(BigInt(value));
  if (dtype === 'float16' && Kind === Uint16Array && value !== 0)
    throw new GraphcError('first values of float16 need a browser with Float16Array');
  return new Kind(count).fill(value);
}

// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
function npzEntry(zip, wanted) {
  const view = new DataView(zip.buffer, zip.byteOffset, zip.byteLength);
  for (let at = 0; at + 30 <= zip.length && view.getUint32(at, true) === LOCAL_FILE; ) {
    const held = view.getUint32(at + 18, true);
    const named = view.getUint16(at + 26, true);
    const data = at + 30 + named + view.getUint16(at + 28, true);
    if (data + held > zip.length) return null;
    const name = new TextDecoder().decode(zip.subarray(at + 30, at + 30 + named));
    if (name === wanted && view.getUint16(at + 8, true) === 0 && held >= 10) {
      const long = zip[data + 6] >= 2;
      const header = long ? 12 + view.getUint32(data + 8, true) : 10 + view.getUint16(data + 8, true);
      return header <= held ? zip.subarray(data + header, data + held) : null;
    }
    at = data + held;
  }
  return null;
}
