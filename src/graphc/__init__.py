"""graphc compiles ONNX speech models exported for whole utterances into equal models that run on a stream."""
