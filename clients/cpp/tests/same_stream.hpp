// Streams noise through onnxruntime and through another runtime, and compares.

#pragma once

#include "../graphc.hpp"

namespace {

bool streamed(graphc::Stream& stream, std::vector<float>& out) {
  const graphc::Port& port = stream.manifest().inputs.front();
  std::vector<float> frames(port.count() * 3 / 2 / static_cast<size_t>(port.frames) * static_cast<size_t>(port.frames));
  uint32_t seed = 1;
  for (int call = 0; call < 20; ++call) {
    for (float& value : frames) value = static_cast<float>((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1.0f;
    const int64_t count = static_cast<int64_t>(frames.size() * sizeof(float) / port.frame_bytes());
    if (!stream.push(frames.data(), count)) return false;
  }
  if (!stream.flush()) return false;
  out.resize(static_cast<size_t>(stream.output().available()) * stream.output().frame_bytes() / sizeof(float));
  return stream.output().take(out.data(), stream.output().available());
}

// Prints the largest difference between STEM.onnx and STEM + suffix in `backend`. 0: they give the same.
int compare_runtimes(const std::string& stem, const char* suffix, std::unique_ptr<graphc::Backend> backend) {
  graphc::Stream one, other;
  std::vector<float> want, got;
  if (!one.open(stem + ".onnx") || !streamed(one, want)) return std::printf("%s\n", one.error().c_str()), 1;
  if (!other.open(stem + suffix, std::move(backend)) || !streamed(other, got))
    return std::printf("%s\n", other.error().c_str()), 1;
  float off = want.size() == got.size() && !want.empty() ? 0.0f : 1e9f;
  for (size_t i = 0; i < want.size() && off < 1e9f; ++i) off = std::max(off, std::abs(want[i] - got[i]));
  std::printf("%zu numbers, off by %.2g\n", want.size(), static_cast<double>(off));
  return off < 1e-4f ? 0 : 1;
}

}  // namespace
