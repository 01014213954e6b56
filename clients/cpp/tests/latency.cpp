// Times a call of the client against one of a bare loop on the same bindings: latency MODEL. Both take turns. Prints medians
// in microseconds.

#include <chrono>

#include "../graphc.hpp"

namespace {

constexpr int kTurns = 60, kCalls = 30;

double median(std::vector<double>& all) {
  std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2), all.end());
  return all[all.size() / 2];
}

// The least that any loop does: swap the sets of states, copy the inputs in, and copy the outputs out.
class Bare {
 public:
  bool open(const std::string& path, std::string& error) {
    std::string text;
    if (!runtime_.open(path, 1, text, error) || !manifest_.parse(text, 1, error)) return false;
    for (const auto& port : manifest_.inputs) inputs_.emplace_back(port.bytes());
    for (const auto& port : manifest_.outputs) outputs_.emplace_back(port.bytes());
    for (auto& side : states_)
      for (const auto& state : manifest_.states) side.emplace_back(state.count() * state.type->bytes);
    for (size_t turn = 0; turn < 2; ++turn) {
      std::vector<graphc::Bound> taken, given;
      for (size_t i = 0; i < inputs_.size(); ++i) add(taken, manifest_.inputs[i], inputs_[i]);
      for (size_t i = 0; i < outputs_.size(); ++i) add(given, manifest_.outputs[i], outputs_[i]);
      if (!manifest_.valid_frames.empty())
        taken.push_back({manifest_.valid_frames.c_str(), graphc::type_named("int64"), &one_, reinterpret_cast<char*>(&manifest_.chunk), 8});
      for (size_t i = 0; i < manifest_.states.size(); ++i) {
        const auto& s = manifest_.states[i];
        taken.push_back({s.input.c_str(), s.type, &s.shape, states_[turn][i].data(), states_[turn][i].bytes()});
        given.push_back({s.output.c_str(), s.type, &s.shape, states_[1 - turn][i].data(), states_[1 - turn][i].bytes()});
      }
      if (!runtime_.bind(static_cast<int>(turn), taken, given, error)) return false;
    }
    return true;
  }
  bool call(const std::vector<std::vector<char>>& in, std::vector<std::vector<char>>& out, std::string& error) {
    for (size_t i = 0; i < in.size(); ++i) std::memcpy(inputs_[i].data(), in[i].data(), in[i].size());
    if (!runtime_.run(turn_, error)) return false;
    turn_ = 1 - turn_;
    for (size_t i = 0; i < out.size(); ++i) std::memcpy(out[i].data(), outputs_[i].data(), outputs_[i].bytes());
    return true;
  }
  const graphc::Manifest& manifest() const { return manifest_; }

 private:
  static void add(std::vector<graphc::Bound>& side, const graphc::Port& port, graphc::Memory& memory) {
    side.push_back({port.name.c_str(), port.type, &port.shape, memory.data(), memory.bytes()});
  }
  graphc::Onnxruntime runtime_;
  graphc::Manifest manifest_;
  std::vector<graphc::Memory> inputs_, outputs_, states_[2];
  std::vector<int64_t> one_{1};
  int turn_ = 0;
};

}  // namespace

int main(int count, char** words) {
  if (count != 2) return std::printf("latency MODEL\n"), 2;
  graphc::Stream stream;
  Bare bare;
  std::string error;
  if (!stream.open(words[1]) || !bare.open(words[1], error)) return std::printf("%s%s\n", stream.error().c_str(), error.c_str()), 1;
  std::vector<std::vector<char>> in, out;
  for (const auto& port : bare.manifest().inputs) in.emplace_back(port.bytes(), 0);
  for (const auto& port : bare.manifest().outputs) out.emplace_back(2 * port.bytes(), 0);
  std::vector<double> times[2];
  for (int turn = 0; turn < kTurns; ++turn)
    for (int which = 0; which < 2; ++which)
      for (int i = 0; i < kCalls; ++i) {
        const auto start = std::chrono::steady_clock::now();
        bool done = true;
        if (which == 0) {
          done = bare.call(in, out, error);
        } else {
          for (size_t p = 0; p < in.size(); ++p) {
            const auto& port = bare.manifest().inputs[p];
            done = done && stream.push(port.name, in[p].data(), port.frames);
          }
          for (size_t p = 0; p < out.size(); ++p) {
            graphc::Output* output = stream.output(bare.manifest().outputs[p].name);
            output->take(out[p].data(), std::min(output->available(), 2 * output->port().frames));
          }
        }
        times[which].push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
        if (!done) return std::printf("%s%s\n", stream.error().c_str(), error.c_str()), 1;
      }
  const double loop = median(times[0]), client = median(times[1]);
  std::printf("%zu states: bare loop %.2f us, client %.2f us, %+.2f us\n", bare.manifest().states.size(), loop, client, client - loop);
  return 0;
}
