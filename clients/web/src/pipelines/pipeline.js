// Reads the manifest of a pipeline.

import {isBeside} from '../contract/fetched.js';
import {GraphcError} from '../contract/manifest.js';

/** Reads the manifest of a pipeline, and adds the URL of its joined model's manifest. */
export function readPipeline(text, url) {
  let data;
  try {
    data = typeof text === 'string' ? JSON.parse(text) : text;
  } catch {
    throw new GraphcError('not the manifest of a pipeline: it is not JSON');
  }
  const model = data?.format === 'graphc.pipeline/1' ? data.model : null;
  if (!isInside(model)) throw new GraphcError('not the manifest of a pipeline');
  return {...data, manifest: new URL(`${model.slice(0, -'.onnx'.length)}.manifest.json`, url).href};
}

/** Whether a name is that of a model beside the manifest. */
export function isInside(model) {
  return isBeside(model) && model.endsWith('.onnx');
}
