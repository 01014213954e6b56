// Compares the streams of onnxruntime and LiteRT: litert STEM.

#include "../graphc_litert.hpp"
#include "same_stream.hpp"

int main(int count, char** words) {
  if (count != 2) return std::printf("litert STEM\n"), 2;
  return compare_runtimes(words[1], ".litert.tflite", std::make_unique<graphc::LiteRt>());
}
