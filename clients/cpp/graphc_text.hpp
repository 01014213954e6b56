// Runs a pipeline that ends in text, by greedy ctc or transducer decoding: samples in, transcripts out. Needs graphc.hpp and
// graphc_pipeline.hpp beside it.
//
//   graphc::TextPipeline pipeline;
//   if (!pipeline.open("recogniser")) …pipeline.error()…      // the folder that holds pipeline.manifest.json
//   pipeline.push(samples, count, [](const graphc::Transcript& said) { …said.text, said.final… });

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graphc_pipeline.hpp"

namespace graphc {

// What was understood so far. If it is not final, another transcript with all of the utterance may follow.
struct Transcript {
  std::string text;             // empty if the pipeline has no table of tokens
  std::vector<int64_t> tokens;  // of this utterance
  double seconds = 0;           // from the start of the stream to the last token
  bool final = false;
};

namespace text {

constexpr int64_t kMostToken = 2147483647;

// Replaces bytes that are not UTF-8 by U+FFFD, one for each maximal part of a character (Unicode 15, section 3.9).
inline std::string valid_utf8(const std::string& bytes) {
  static const char kReplacement[] = "\xEF\xBF\xBD";
  std::string made;
  for (size_t at = 0; at < bytes.size();) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const unsigned char lead = byte(at);
    const size_t more = lead < 0x80 ? 0 : lead >= 0xC2 && lead < 0xE0 ? 1 : (lead & 0xF0) == 0xE0 ? 2 : lead >= 0xF0 && lead < 0xF5 ? 3 : 9;
    size_t good = 1;
    while (more < 9 && good <= more && at + good < bytes.size()) {
      const unsigned char next = byte(at + good);
      unsigned char least = 0x80, most = 0xBF;
      if (good == 1 && lead == 0xE0) least = 0xA0;
      if (good == 1 && lead == 0xED) most = 0x9F;
      if (good == 1 && lead == 0xF0) least = 0x90;
      if (good == 1 && lead == 0xF4) most = 0x8F;
      if (next < least || next > most) break;
      ++good;
    }
    if (good == more + 1) made.append(bytes, at, good);
    else made += kReplacement;
    at += good;
  }
  return made;
}

inline std::string without_outer_spaces(const std::string& text) {
  static const char kSpaces[] = " \t\n\v\f\r\x1c\x1d\x1e\x1f";
  const size_t first = text.find_first_not_of(kSpaces);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(kSpaces) + 1 - first);
}

// The table of tokens. `<0xNN>` is a byte of UTF-8.
class Tokens {
 public:
  // False if they are not a list of texts, or absent.
  bool take(const json::Value& decoder) {
    const json::Value &table = decoder["tokens"], &space = decoder["space"];
    if (!table.is_null() && table.kind != json::Value::Kind::list) return false;
    if (!space.is_null() && space.kind != json::Value::Kind::text) return false;
    space_ = space.text;
    for (const json::Value& piece : table.items) {
      if (piece.kind != json::Value::Kind::text) return false;
      pieces_.push_back(bytes_of(piece.text));
    }
    return true;
  }
  std::string join(const std::vector<int64_t>& tokens) const {
    std::string joined;
    for (int64_t token : tokens)
      if (static_cast<size_t>(token) < pieces_.size()) joined += pieces_[static_cast<size_t>(token)];
    joined = valid_utf8(joined);
    for (size_t at = 0; !space_.empty() && (at = joined.find(space_, at)) != std::string::npos; ++at) joined.replace(at, space_.size(), " ");
    return without_outer_spaces(joined);
  }

 private:
  std::vector<std::string> pieces_;
  std::string space_;

  static std::string bytes_of(const std::string& piece) {
    static const char kHex[] = "0123456789abcdefABCDEF";
    if (piece.size() != 6 || piece.compare(0, 3, "<0x") != 0 || piece[5] != '>') return piece;
    const std::string digits = piece.substr(3, 2);
    return digits.find_first_not_of(kHex) != std::string::npos ? piece : std::string(1, static_cast<char>(std::stoi(digits, nullptr, 16)));
  }
};

inline double number_at(const Type& type, const char* data, size_t i) {
  const auto as = [&](auto zero) {
    std::memcpy(&zero, data + i * sizeof zero, sizeof zero);
    return static_cast<double>(zero);
  };
  return type.onnx == 1 ? as(float()) : as(double());
}

inline void put_number(const Type& type, char* data, size_t i, double number) {
  const auto as = [&](auto value) { std::memcpy(data + i * sizeof value, &value, sizeof value); };
  if (type.onnx == 1) as(static_cast<float>(number));
  else if (type.onnx == 6) as(static_cast<int32_t>(number));
  else if (type.onnx == 7) as(static_cast<int64_t>(number));
  else as(number);
}

inline size_t likeliest(const Type& type, const char* data, size_t count) {
  size_t best = 0;
  for (size_t i = 1; i < count; ++i) {
    const double score = number_at(type, data, i), most = number_at(type, data, best);
    if (score > most || (std::isnan(score) && !std::isnan(most))) best = i;
  }
  return best;
}

inline bool holds_scores(const Type* type) { return type != nullptr && (type->onnx == 1 || type->onnx == 11); }

// A stage that a decoder calls: values in, one output out. Its new states take effect only after keep().
class Network {
 public:
  bool open(const json::Value& stage, const std::string& folder, const std::string& output, std::string& error) {
    name_ = stage["name"].text;
    const std::string& file = stage["model"].text;
    if (!PipelineFolder::stays_inside(file)) return error = "it names a model outside its folder", false;
    if (!stage["manifest"].is_null() && !manifest_.take(stage["manifest"], 1, error)) return false;
    std::vector<Onnxruntime::Declared> inputs, outputs;
    if (!model_.open_model(folder + file, 1, error) || !model_.declared(true, inputs, error) || !model_.declared(false, outputs, error))
      return false;
    for (const auto& port : inputs) inputs_.push_back(slot(port));
    for (const auto& port : outputs)
      if (port.name == output) output_ = slot(port);
    if (output_.name.empty() || !holds_scores(output_.type)) return error = "the stage '" + name_ + "' has no output '" + output + "' of float32 or float64", false;
    for (const State& state : manifest_.states) {
      if (find(state.input) == nullptr) return error = "the stage '" + name_ + "' has no port " + state.input, false;
      first_.emplace_back();
      if (!first_value(state, folder, first_.back(), error)) return false;
      for (std::vector<Memory>& side : states_) side.emplace_back(first_.back().size());
    }
    begin();
    return true;
  }

  // Binds everything. `filled` are the inputs that the decoder writes. Any other integer input is a number of frames; it is set to 1.
  bool bind(const std::vector<std::string>& filled, std::string& error) {
    for (const std::string& name : filled)
      if (find(name) == nullptr) return error = "the stage '" + name_ + "' has no port " + name, false;
    for (Slot& input : inputs_) {
      const bool known = input.type != nullptr && (holds_scores(input.type) || input.type->onnx == 6 || input.type->onnx == 7);
      const bool given = std::find(filled.begin(), filled.end(), input.name) != filled.end();
      if (given && !known) return error = "the input '" + input.name + "' of '" + name_ + "' has a type that this client does not fill", false;
      if (given || is_state(input.name)) continue;
      if (!known || holds_scores(input.type) || input.shape.size() > 1)
        return error = "nothing fills the input " + input.name + " of '" + name_ + "'", false;
      for (size_t i = 0; i < input.count(); ++i) put_number(*input.type, input.memory.data(), i, 1);
    }
    for (int turn = 0; turn < 2; ++turn) {
      std::vector<Bound> from, to{output_.bound()};
      for (Slot& input : inputs_)
        if (!is_state(input.name)) from.push_back(input.bound());
      for (size_t i = 0; i < manifest_.states.size(); ++i) {
        const State& s = manifest_.states[i];
        Memory &read = states_[turn][i], &written = states_[1 - turn][i];
        from.push_back({s.input.c_str(), s.type, &s.shape, read.data(), read.bytes()});
        to.push_back({s.output.c_str(), s.type, &s.shape, written.data(), written.bytes()});
      }
      if (!model_.bind(turn, from, to, error)) return error = "the stage '" + name_ + "' does not run: " + error, false;
    }
    return true;
  }

  void begin() {
    turn_ = 0;
    for (size_t i = 0; i < first_.size(); ++i) std::copy(first_[i].begin(), first_[i].end(), states_[0][i].data());
  }
  size_t entries(const std::string& name) const { return find(name) == nullptr ? 0 : find(name)->count(); }

  // Writes numbers into an input: tokens, or the values of another stage.
  template <typename Number>
  bool write(const std::string& name, size_t count, const Number& number, std::string& error) {
    Slot& input = *find(name);
    if (input.count() != count)
      return error = "'" + name + "' of '" + name_ + "' takes " + std::to_string(input.count()) + " numbers, not " + std::to_string(count), false;
    for (size_t i = 0; i < count; ++i) put_number(*input.type, input.memory.data(), i, number(i));
    return true;
  }
  bool run(std::string& error) {
    return model_.run(turn_, error) || (error = "the stage '" + name_ + "' does not run: " + error, false);
  }
  // The next call begins with the states that the last one gave.
  void keep() { turn_ = 1 - turn_; }

  size_t count() const { return output_.count(); }
  double value(size_t i) const { return number_at(*output_.type, output_.memory.data(), i); }
  size_t best() const { return likeliest(*output_.type, output_.memory.data(), count()); }

 private:
  struct Slot {
    std::string name;
    const Type* type = nullptr;
    std::vector<int64_t> shape;
    Memory memory;
    size_t count() const { return type == nullptr ? 0 : memory.bytes() / type->bytes; }
    Bound bound() { return {name.c_str(), type, &shape, memory.data(), memory.bytes()}; }
  };

  Onnxruntime model_;
  Manifest manifest_;
  std::string name_;
  std::vector<Slot> inputs_;
  Slot output_;
  std::vector<std::vector<char>> first_;
  std::vector<Memory> states_[2];
  int turn_ = 0;

  // One step: a size that is not known is 1.
  static Slot slot(const Onnxruntime::Declared& port) {
    Slot made{port.name, port.type, port.shape, Memory()};
    size_t bytes = port.type == nullptr ? 0 : port.type->bytes;
    for (int64_t& size : made.shape) bytes *= static_cast<size_t>(size = size > 0 ? size : 1);
    made.memory = Memory(bytes);
    return made;
  }
  Slot* find(const std::string& name) {
    for (Slot& input : inputs_)
      if (input.name == name) return &input;
    return nullptr;
  }
  const Slot* find(const std::string& name) const { return const_cast<Network*>(this)->find(name); }
  bool is_state(const std::string& name) const {
    return std::any_of(manifest_.states.begin(), manifest_.states.end(), [&](const State& s) { return s.input == name; });
  }
};

// Greedy decoding of an encoder's frames by a joiner and a predictor, or by a joiner that contains its predictor (Graves, 2012).
class Transducer {
 public:
  bool open(const json::Value& entry, const json::Value& stages, const std::string& folder, std::string& error) {
    const json::Value &joiner = entry["joiner"], &predictor = entry["predictor"];
    blank_ = entry["blank"].integer();
    start_ = blank_;
    if (!entry["start"].is_null() && !whole(entry["start"], 0, kMostToken, start_))
      return error = "not the manifest of a pipeline: decoder.start is not a token", false;
    encoder_ = joiner["encoder"].text, joined_ = joiner["predictor"].text, inside_ = joiner["token"].text;
    token_ = predictor["token"].text;
    has_predictor_ = !predictor.is_null();
    if (!whole(entry["most_symbols"], 1, 1000000, most_)) return error = "not the manifest of a pipeline: its decoder is not valid", false;
    if (inside_.empty() != has_predictor_ || joined_.empty() == has_predictor_)
      return error = "its joiner takes neither a predictor's output nor a single token: it must name one of the two", false;
    std::vector<std::string> filled{encoder_, has_predictor_ ? joined_ : inside_};
    if (!open(joiner, stages, folder, joiner_, error) || !joiner_.bind(filled, error)) return false;
    if (has_predictor_ && (!open(predictor, stages, folder, predictor_, error) || !predictor_.bind({token_}, error))) return false;
    context_ = has_predictor_ ? predictor_.entries(token_) : joiner_.entries(inside_);
    return begin(error);
  }

  bool begin(std::string& error) {
    last_.assign(context_, start_);
    joiner_.begin(), predictor_.begin();
    return predict(error);
  }

  // Appends the tokens of the next frame.
  bool decode(const Type& type, const char* frame, size_t count, std::vector<int64_t>& tokens, std::string& error) {
    if (!joiner_.write(encoder_, count, [&](size_t i) { return number_at(type, frame, i); }, error)) return false;
    for (int64_t symbol = 0; symbol < most_; ++symbol) {
      const bool written = has_predictor_
          ? joiner_.write(joined_, predictor_.count(), [&](size_t i) { return predictor_.value(i); }, error)
          : joiner_.write(inside_, last_.size(), [&](size_t i) { return static_cast<double>(last_[i]); }, error);
      if (!written || !joiner_.run(error)) return false;
      const int64_t token = static_cast<int64_t>(joiner_.best());
      if (token == blank_) return true;
      tokens.push_back(token);
      joiner_.keep();
      last_.erase(last_.begin()), last_.push_back(token);
      if (!predict(error)) return false;
    }
    return true;
  }

 private:
  Network joiner_, predictor_;
  std::string encoder_, joined_, inside_, token_;
  std::vector<int64_t> last_;
  int64_t blank_ = 0, start_ = 0, most_ = 0;
  size_t context_ = 0;
  bool has_predictor_ = false;

  static bool open(const json::Value& entry, const json::Value& stages, const std::string& folder, Network& network, std::string& error) {
    for (const json::Value& stage : stages.items)
      if (stage["name"].text == entry["stage"].text) return network.open(stage, folder, entry["output"].text, error);
    return error = "the decoder names a stage that the pipeline does not have: '" + entry["stage"].text + "'", false;
  }
  bool predict(std::string& error) {
    if (!has_predictor_) return true;
    if (!predictor_.write(token_, last_.size(), [&](size_t i) { return static_cast<double>(last_[i]); }, error) || !predictor_.run(error))
      return false;
    predictor_.keep();
    return true;
  }
};

}  // namespace text

class TextPipeline {
 public:
  // Opens the folder of a pipeline, in place of one that was open.
  bool open(const std::string& folder, const Options& options = {}) {
    opened_ = false;
    tokens_ = text::Tokens();
    transducer_.reset();
    PipelineFolder read;
    if (!read.read(folder, error_)) return false;
    const std::string& kind = read.manifest["kind"].text;
    if (kind != "ctc" && kind != "transducer") return error_ = "the pipeline does not end in text", false;
    if (!stream_.open(read.path + read.model, options)) return error_ = stream_.error(), false;
    name_ = read.name();
    const json::Value& decoder = read.decoder();
    const std::string& output = decoder[kind == "ctc" ? "scores" : "encoder"].text;
    frames_ = stream_.output(output);
    if (frames_ == nullptr || frames_->port().fixed || !text::holds_scores(frames_->port().type))
      return error_ = "the model gives no frames '" + output + "'", false;
    const json::Value& silence = decoder["endpoint_s"];
    if (!whole(decoder["blank"], 0, text::kMostToken, blank_) || (!silence.is_null() && (silence.kind != json::Value::Kind::number || !(silence.number >= 0))))
      return error_ = "not the manifest of a pipeline: its decoder is not valid", false;
    const Port& port = frames_->port();
    frame_s_ = stream_.manifest().frame_ms / 1000 * static_cast<double>(port.rate_down) / static_cast<double>(port.rate_up);
    if (!silence.is_null() && !(frame_s_ > 0))
      return error_ = "the duration of a frame is not known; set stream.frame_ms, and compile again", false;
    endpoint_s_ = silence.is_null() ? -1 : silence.number;
    if (!tokens_.take(decoder)) return error_ = "not the manifest of a pipeline: decoder.tokens is not a list of texts", false;
    if (kind == "transducer") {
      transducer_ = std::make_unique<text::Transducer>();
      if (!transducer_->open(decoder, read.manifest["stages"], read.path, error_)) return false;
    }
    row_.resize(frames_->frame_bytes());
    seen_ = waiting_ = 0;
    return opened_ = begin();
  }

  const std::string& error() const { return error_; }
  const std::string& name() const { return name_; }
  Stream& stream() { return stream_; }

  // Discards the stream, and begins another.
  bool reset() {
    if (!is_open()) return false;
    stream_.reset();
    seen_ = waiting_ = 0;
    return begin();
  }

  // Takes any number of frames, which are stored one after the other. Calls `heard` with every transcript that is new. At an
  // endpoint the tail is flushed and the states start over.
  template <typename Heard>
  bool push(const void* frames, int64_t count, Heard&& heard) {
    if (!is_open()) return false;
    if (count < 0) return error_ = "the number of frames is " + std::to_string(count) + ", expected 0 or more", false;
    const Port& port = stream_.manifest().inputs.front();
    for (int64_t at = 0; at < count;) {
      const int64_t some = std::min(count - at, port.frames - waiting_);
      if (!stream_.push_rows(static_cast<const char*>(frames) + static_cast<size_t>(at) * port.frame_bytes(), some))
        return error_ = stream_.error(), false;
      at += some;
      waiting_ = (waiting_ + some) % port.frames;
      if (!decode()) return false;
      if (!ended()) continue;
      if (!finish(heard)) return false;
      stream_.reset();
      waiting_ = 0;
    }
    tell(heard, false);
    return true;
  }

  // Ends the stream. After that, reset() begins another.
  template <typename Heard>
  bool flush(Heard&& heard) {
    return is_open() && finish(heard);
  }

 private:
  Stream stream_;
  std::unique_ptr<text::Transducer> transducer_;  // null for ctc
  text::Tokens tokens_;
  Output* frames_ = nullptr;
  std::vector<char> row_;
  std::vector<int64_t> said_;
  std::string error_, name_;
  double frame_s_ = 0, endpoint_s_ = -1;
  int64_t blank_ = 0, before_ = 0, seen_ = 0, last_ = 0, waiting_ = 0;
  size_t told_ = 0;
  bool opened_ = false;

  bool is_open() { return opened_ || (error_ = "no pipeline is open", false); }

  bool begin() {
    said_.clear();
    told_ = 0, last_ = seen_, before_ = blank_;
    return transducer_ == nullptr || transducer_->begin(error_);
  }

  bool decode() {
    const Type& type = *frames_->port().type;
    const size_t count = row_.size() / type.bytes;
    while (frames_->available() > 0 && frames_->take(row_.data(), 1)) {
      const size_t before = said_.size();
      if (transducer_ != nullptr && !transducer_->decode(type, row_.data(), count, said_, error_)) return false;
      if (transducer_ == nullptr) take_likeliest(static_cast<int64_t>(text::likeliest(type, row_.data(), count)));
      ++seen_;
      if (said_.size() > before) last_ = seen_;
    }
    return true;
  }

  // Repetitions and blanks are left out (Graves et al., 2006).
  void take_likeliest(int64_t token) {
    if (token != blank_ && token != before_) said_.push_back(token);
    before_ = token;
  }

  bool ended() const {
    return !said_.empty() && endpoint_s_ >= 0 && static_cast<double>(seen_ - last_) * frame_s_ >= endpoint_s_;
  }

  template <typename Heard>
  bool finish(Heard& heard) {
    if (!stream_.flush()) return error_ = stream_.error(), false;
    if (!decode()) return false;
    tell(heard, true);
    return begin();
  }

  template <typename Heard>
  void tell(Heard& heard, bool final) {
    if (said_.empty() || (said_.size() == told_ && !final)) return;
    told_ = said_.size();
    heard(Transcript{tokens_.join(said_), said_, static_cast<double>(last_) * frame_s_, final});
  }
};

}  // namespace graphc
