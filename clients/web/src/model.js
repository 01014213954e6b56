// A compiled model in onnxruntime: its manifest, the first values of its states, and its calls.

import {fetched, filesOf} from './contract/fetched.js';
import {firstValue} from './contract/first_values.js';
import {GraphcError, arrayOf, readManifest} from './contract/manifest.js';

export class CompiledModel {
  /** Loads a model from the URL of its manifest, STEM.manifest.json; the model and its files are beside it. */
  static async open(ort, url, session = {}) {
    const manifest = readManifest(await (await fetched(url)).text());
    const stem = String(url).replace(/\.manifest\.json(\?.*)?$/, '');
    const files = await filesOf(manifest, url);
    const model = await (await fetched(`${stem}.onnx`)).arrayBuffer();
    return CompiledModel.create(ort, manifest, new Uint8Array(model), files, session);
  }

  /** The same for a manifest and a model in memory; `files` holds the bytes of the files that the manifest names. */
  static async create(ort, manifest, model, files = {}, session = {}) {
    let opened;
    try {
      opened = await ort.InferenceSession.create(model, {logSeverityLevel: 3, ...session});
    } catch (error) {
      throw new GraphcError(`onnxruntime cannot run this model: ${error.message ?? error}`);
    }
    return new CompiledModel(ort, opened, readManifest(manifest), files);
  }

  constructor(ort, session, manifest, files) {
    this.ort = ort;
    this.session = session;
    this.manifest = manifest;
    this.busy = false;
    const lost = [...manifest.inputs.map((port) => port.name), ...manifest.states.map((state) => state.input)].filter(
      (name) => !session.inputNames.includes(name)
    );
    if (lost.length) throw new GraphcError(`the manifest names ports that the model does not have: ${lost.join(', ')}`);
    this.first = manifest.states.map((state) => this.tensor(state.dtype, firstValue(state, files), state.shape));
  }

  /**
   * Makes one call.
   * @param feeds tensors by the name of the input
   * @param states the tensors of the states, in the order of the manifest
   * @param valid for each stream, how many of its frames exist
   * @returns the outputs' data by name, and the states for the next call
   */
  async call(feeds, states, valid) {
    const {manifest} = this;
    this.check_idle();
    const given = {...feeds};
    manifest.states.forEach((state, i) => (given[state.input] = states[i]));
    if (manifest.valid_frames)
      given[manifest.valid_frames] = this.tensor('int64', BigInt64Array.from(valid, BigInt), [valid.length]);
    this.busy = true;
    let results;
    try {
      results = await this.session.run(given);
    } catch (error) {
      throw new GraphcError(`the compiled model does not run: ${error.message ?? error}`);
    } finally {
      this.busy = false;
    }
    return {
      outputs: Object.fromEntries(manifest.outputs.map((port) => [port.name, results[port.name].data])),
      states: manifest.states.map((state) => results[state.output]),
    };
  }

  /** Refuses to go on while a call has not returned. */
  check_idle() {
    if (this.busy) throw new GraphcError('a call is under way; await it before you go on');
  }

  tensor(dtype, data, shape) {
    arrayOf(dtype);
    return new this.ort.Tensor(dtype, data, shape);
  }
}
