// Compares the streams of onnxruntime and OpenVINO: openvino STEM.

#include "../graphc_openvino.hpp"
#include "same_stream.hpp"

int main(int count, char** words) {
  if (count != 2) return std::printf("openvino STEM\n"), 2;
  return compare_runtimes(words[1], ".openvino.xml", std::make_unique<graphc::OpenVino>());
}
