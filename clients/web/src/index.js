// Streams models that graphc compiled.

export {BatchSession} from './batch.js';
export {StreamSession} from './stream.js';
export {GraphcError, readManifest} from './contract/manifest.js';
export {Ring} from './live/ring.js';
export {TextPipeline} from './pipelines/text.js';
export {Trigger} from './pipelines/trigger.js';
export {readPipeline} from './pipelines/pipeline.js';
export {openMicrophone, openWorker, playFile} from './live/microphone.js';
