// Compares the outputs of a client with those in a table.

#pragma once

#include "../graphc.hpp"

namespace {

double number_at(const std::vector<char>& bytes, size_t i, const std::string& type) {
  const auto as = [&](auto zero) {
    std::memcpy(&zero, &bytes[i * sizeof zero], sizeof zero);
    return static_cast<double>(zero);
  };
  if (type == "float32") return as(float());
  if (type == "float64") return as(double());
  if (type == "int64") return as(int64_t());
  if (type == "int32") return as(int32_t());
  if (type == "float16") return as(uint16_t());
  return as(int8_t());
}

// The largest difference divided by the largest value (or by 1, if that is larger); negative if the sizes differ.
double distance(const std::vector<char>& got, const std::vector<char>& want, const std::string& type) {
  if (got.size() != want.size()) return -1;
  double worst = 0, scale = 1;
  for (size_t i = 0; i < want.size() / graphc::type_named(type)->bytes; ++i) {
    const double a = number_at(got, i, type), b = number_at(want, i, type);
    if (std::isfinite(b)) scale = std::max(scale, std::abs(b));
    if (a != b && !(std::isnan(a) && std::isnan(b))) worst = std::max(worst, std::isfinite(a - b) ? std::abs(a - b) : 1e9);
  }
  return worst / scale;
}

// Takes all available frames of an output, and compares them with an entry of a table. Prints what is wrong.
bool taken_right(graphc::Output* output, const graphc::json::Value& entry, const std::string& folder, const std::string& path) {
  const int64_t frames = entry["frames"].integer(), there = output != nullptr ? output->available() : -1;
  std::vector<char> want;
  double off = -1;
  if (there == frames && graphc::read_file(folder + entry["file"].text, want)) {
    std::vector<char> got(output->frame_bytes() * static_cast<size_t>(frames));
    output->take(got.data(), frames);
    off = distance(got, want, entry["dtype"].text);
  }
  if (off >= 0 && off <= 1e-6) return true;
  std::printf("%s: %s: ", path.c_str(), entry["name"].text.c_str());
  if (off < 0) std::printf("%lld frames, expected %lld\n", static_cast<long long>(there), static_cast<long long>(frames));
  else std::printf("off by %.2g\n", off);
  return false;
}

}  // namespace
