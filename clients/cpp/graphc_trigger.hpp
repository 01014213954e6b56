// Runs a pipeline that ends in a trigger: samples in, events out. Needs graphc.hpp and graphc_pipeline.hpp beside it.
//
//   graphc::Pipeline pipeline;
//   if (!pipeline.open("alexa")) …pipeline.error()…          // the folder that holds pipeline.manifest.json
//   pipeline.push(samples, count, [](const graphc::Event& event) { …event.seconds, event.score… });

#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "graphc_pipeline.hpp"

namespace graphc {

struct Event {
  double seconds = 0, score = 0;  // seconds from the start of the stream
};

// Decides when scores count as a detection: the mean of the last `smoothing` scores has reached `threshold` in `patience`
// successive calls, and the last event is at least `refractory_s` seconds ago.
class Trigger {
 public:
  std::string output;
  size_t place = 0;

  bool parse(const json::Value& entry, double call_s, std::string& error) {
    int64_t first = 0, smoothing = 0;
    output = entry["score"].text;
    threshold_ = entry["threshold"].number;
    refractory_s_ = entry["refractory_s"].number;
    const bool numbers = entry["threshold"].kind == json::Value::Kind::number && entry["refractory_s"].kind == json::Value::Kind::number;
    if (output.empty() || !numbers || !(refractory_s_ >= 0 && refractory_s_ <= 1e9) || !whole(entry["place"], 0, kMost, first) ||
        !whole(entry["smoothing"], 1, kMost, smoothing) || !whole(entry["patience"], 1, kMost, patience_) || !whole(entry["warm_up"], 0, kMost, warm_up_))
      return error = "not the manifest of a pipeline: its decoder is not valid", false;
    if (!(call_s > 0))
      return error = "the duration of a frame is not known; "
                     "set stream.frame_ms in the first stage's spec, and compile again", false;
    place = static_cast<size_t>(first);
    last_.assign(static_cast<size_t>(smoothing), 0.0);
    call_s_ = call_s;
    reset();
    return true;
  }

  void reset() {
    std::fill(last_.begin(), last_.end(), 0.0);
    calls_ = reached_ = 0;
    silent_until_ = 0;
  }

  double seconds() const { return static_cast<double>(calls_) * call_s_; }

  // Takes the score of the next call; true if it is an event.
  bool heard(double score) {
    last_[static_cast<size_t>(calls_) % last_.size()] = calls_ < warm_up_ ? 0.0 : score;
    ++calls_;
    double sum = 0;
    for (double one : last_) sum += one;
    reached_ = sum / static_cast<double>(last_.size()) >= threshold_ ? reached_ + 1 : 0;
    if (reached_ < patience_ || seconds() < silent_until_) return false;
    silent_until_ = seconds() + refractory_s_;
    return true;
  }

 private:
  static constexpr int64_t kMost = 1000000;
  std::vector<double> last_;
  double threshold_ = 0, refractory_s_ = 0, call_s_ = 0, silent_until_ = 0;
  int64_t patience_ = 1, warm_up_ = 0, calls_ = 0, reached_ = 0;
};

class Pipeline {
 public:
  // Opens the folder of a pipeline.
  bool open(const std::string& folder, const Options& options = {}) {
    opened_ = false;
    PipelineFolder read;
    if (!read.read(folder, error_)) return false;
    if (read.manifest["kind"].text != "trigger") return error_ = "the pipeline does not end in a trigger", false;
    if (!stream_.open(read.path + read.model, options)) return error_ = stream_.error(), false;
    name_ = read.name();
    const Manifest& manifest = stream_.manifest();
    if (!trigger_.parse(read.decoder(), static_cast<double>(manifest.chunk) * manifest.frame_ms / 1000, error_)) return false;
    scores_ = stream_.output(trigger_.output);
    if (scores_ == nullptr || std::string(scores_->port().type->name) != "float32" ||
        trigger_.place >= scores_->frame_bytes() / sizeof(float))
      return error_ = "the model gives no score '" + trigger_.output + "'", false;
    const Port& input = manifest.inputs.front();
    if (input.type->onnx != 1 || input.frame_bytes() != sizeof(float)) return error_ = "the pipeline does not take samples", false;
    row_.resize(scores_->frame_bytes() / sizeof(float));
    return opened_ = true;
  }

  const std::string& error() const { return error_; }
  const std::string& name() const { return name_; }
  Stream& stream() { return stream_; }

  void reset() { stream_.reset(), trigger_.reset(); }

  // Takes any number of samples, and calls `heard` with every event.
  template <typename Heard>
  bool push(const float* samples, int64_t count, Heard&& heard) {
    if (!opened_) return error_ = "no pipeline is open", false;
    return stream_.push(samples, count) ? decide(heard) : (error_ = stream_.error(), false);
  }

  // Ends the stream.
  template <typename Heard>
  bool flush(Heard&& heard) {
    if (!opened_) return error_ = "no pipeline is open", false;
    return stream_.flush() ? decide(heard) : (error_ = stream_.error(), false);
  }

 private:
  Stream stream_;
  Trigger trigger_;
  Output* scores_ = nullptr;
  std::vector<float> row_;
  std::string error_, name_;
  bool opened_ = false;

  template <typename Heard>
  bool decide(Heard&& heard) {
    while (scores_->available() > 0 && scores_->take(row_.data(), 1)) {
      const double score = static_cast<double>(row_[trigger_.place]);
      if (trigger_.heard(score)) heard(Event{trigger_.seconds(), score});
    }
    return true;
  }
};

}  // namespace graphc
