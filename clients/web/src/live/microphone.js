// Feeds the sound of a page to a worker: the microphone, or a file that is played.

import {GraphcError} from '../contract/manifest.js';
import {Ring} from './ring.js';

/**
 * Opens a model in a worker.
 * @param options manifest and ort: URLs of the manifest and of onnxruntime-web's module; pipeline: in place of manifest,
 *   the URL of the manifest of a pipeline that ends in text; rate: samples a second;
 *   behind: 'drop', 'stop' or 'wait', what to do when more than most_s seconds are waiting
 * @param see is called with the worker's messages
 */
export function openWorker(options, see) {
  const shared = globalThis.crossOriginIsolated;
  const memory = shared ? new Ring(Math.ceil(8 * (options.most_s ?? 1) * options.rate)).memory : null;
  const worker = new Worker(new URL('./worker.js', import.meta.url), {type: 'module'});
  return new Promise((resolve, reject) => {
    worker.onmessage = ({data}) => {
      see(data);
      if (data.kind === 'open') resolve({worker, memory, rate: options.rate, opened: data});
      if (data.kind === 'stopped') reject(new GraphcError(data.reason));
    };
    worker.onerror = (event) => reject(new GraphcError(event.message));
    worker.postMessage({kind: 'open', ...options, memory});
  });
}

/** Listens to the microphone. Returns a function that stops. */
export async function openMicrophone(live) {
  const audio = {channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false};
  const sound = await navigator.mediaDevices.getUserMedia({audio});
  const context = new AudioContext({sampleRate: live.rate});
  const tap = await tapOf(context, live);
  context.createMediaStreamSource(sound).connect(tap);
  return async () => {
    sound.getTracks().forEach((track) => track.stop());
    await context.close();
    live.worker.postMessage({kind: 'end'});
  };
}

/** Plays a sound file in real time, or at_once as fast as possible. Resolves when all of it has been fed. */
export async function playFile(live, bytes, {at_once = false} = {}) {
  const samples = Math.ceil(live.rate);
  const decoded = await new OfflineAudioContext(1, samples, live.rate).decodeAudioData(bytes);
  const context = at_once
    ? new OfflineAudioContext(1, decoded.length, live.rate)
    : new AudioContext({sampleRate: live.rate});
  const tap = await tapOf(context, live);
  const source = context.createBufferSource();
  source.buffer = decoded;
  source.connect(tap).connect(context.destination);
  const ended = new Promise((resolve) => (source.onended = resolve));
  source.start();
  if (at_once) await context.startRendering();
  await ended;
  if (!at_once) await context.close();
  live.worker.postMessage({kind: 'end'});
  return decoded.length;
}

async function tapOf(context, live) {
  await context.audioWorklet.addModule(new URL('./tap.js', import.meta.url));
  const tap = new AudioWorkletNode(context, 'graphc-tap', {processorOptions: {memory: live.memory}});
  if (!live.memory) tap.port.onmessage = ({data}) => live.worker.postMessage({kind: 'samples', samples: data});
  return tap;
}
