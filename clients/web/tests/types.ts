import {BatchSession, StreamSession, type Found} from '../src/index.js';

export async function tagged(ort: object, frames: Float32Array): Promise<Found | undefined> {
  const session = await StreamSession.open(ort, 'tagger.manifest.json', {multiple: 2});
  const {log_probs} = await session.push({features: frames});
  return session.outputs.length > 1 ? (await session.flush())['other'] : log_probs;
}

export async function ended(ort: object, frames: Float32Array): Promise<number> {
  const session = await BatchSession.open(ort, 'server.manifest.json');
  const one = session.begin();
  session.push(one, frames);
  session.finish(one);
  const found = await session.step();
  return session.free + (found.get(one)?.['log_probs']?.frames ?? 0);
}
