// Streams models that graphc compiled.

export {StreamSession} from './stream.js';
export {GraphcError, readManifest} from './manifest.js';
export {Ring} from './ring.js';
export {TextPipeline} from './text.js';
export {Trigger} from './trigger.js';
export {readPipeline} from './pipeline.js';
export {openMicrophone, openWorker, playFile} from './microphone.js';
