// Streams models that graphc compiled.

export {StreamSession} from './stream.js';
export {GraphcError, readManifest} from './manifest.js';
export {Ring} from './ring.js';
export {Trigger, readPipeline} from './trigger.js';
export {openMicrophone, openWorker, playFile} from './microphone.js';
