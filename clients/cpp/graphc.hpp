// Streams models that graphc compiled, on onnxruntime. One C++17 header, without exceptions or other dependencies.
//
//   graphc::Stream stream;
//   if (!stream.open("tagger.onnx")) return fail(stream.error());
//   while (const float* frames = next())                  // any number of frames, in the layout of the offline model
//     stream.push(frames, count), drain(stream.output());  // output().available() frames are ready; take() copies them
//   stream.flush(), drain(stream.output());               // the tail
//
// The manifest in the model says how many frames a call takes, which states are carried, and which frames to drop at the
// start and at the end of an output (docs/manifest.md). Link with onnxruntime's shared library; its headers are not needed.
// Nothing is allocated after the first calls, unless more frames wait in a buffer than ever before.

#ifndef GRAPHC_HPP
#define GRAPHC_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <clocale>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace graphc {

// ---------------------------------------------------------------------------------------------------------- JSON

namespace json {

struct Value {
  enum class Kind { null, boolean, number, text, list, object };
  Kind kind = Kind::null;
  bool boolean = false;
  double number = 0;
  std::string text;
  std::vector<Value> items;
  std::vector<std::pair<std::string, Value>> fields;

  const Value& operator[](const char* name) const {
    static const Value none;
    for (const auto& field : fields)
      if (field.first == name) return field.second;
    return none;
  }
  bool is_null() const { return kind == Kind::null; }
  int64_t integer() const {
    return std::abs(number) < 9.0e15 ? static_cast<int64_t>(number) : 0;
  }
};

class Reader {
 public:
  Reader(const char* begin, const char* end) : at_(begin), end_(end) {}

  bool read(Value& value) { return element(value, 0) && (space(), at_ == end_); }

 private:
  static constexpr int kDeepest = 64;
  const char* at_;
  const char* end_;

  void space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
  }
  bool taken(char wanted) {
    space();
    if (at_ == end_ || *at_ != wanted) return false;
    ++at_;
    return true;
  }
  bool word(const char* wanted) {
    const size_t size = std::strlen(wanted);
    if (static_cast<size_t>(end_ - at_) < size || std::strncmp(at_, wanted, size) != 0) return false;
    at_ += size;
    return true;
  }
  bool element(Value& value, int depth) {
    space();
    if (at_ == end_ || depth > kDeepest) return false;
    if (*at_ == '{') return object(value, depth);
    if (*at_ == '[') return list(value, depth);
    if (*at_ == '"') return value.kind = Value::Kind::text, string(value.text);
    if (word("null")) return true;
    if (word("true")) return value.kind = Value::Kind::boolean, value.boolean = true;
    if (word("false")) return value.kind = Value::Kind::boolean, true;
    return number(value);
  }
  bool number(Value& value) {
    std::string digits;
    while (at_ != end_ && std::strchr("+-.0123456789eE", *at_) != nullptr && *at_ != 0) digits += *at_++;
    // strtod reads the decimal mark of the program's locale, which may be a comma.
    const char mark = *std::localeconv()->decimal_point;
    std::replace(digits.begin(), digits.end(), '.', mark);
    char* rest = nullptr;
    value.kind = Value::Kind::number;
    value.number = std::strtod(digits.c_str(), &rest);
    return !digits.empty() && *rest == 0;
  }
  bool object(Value& value, int depth) {
    value.kind = Value::Kind::object;
    ++at_;
    if (taken('}')) return true;
    do {
      std::pair<std::string, Value> field;
      space();
      if (at_ == end_ || *at_ != '"' || !string(field.first) || !taken(':') || !element(field.second, depth + 1))
        return false;
      value.fields.push_back(std::move(field));
    } while (taken(','));
    return taken('}');
  }
  bool list(Value& value, int depth) {
    value.kind = Value::Kind::list;
    ++at_;
    if (taken(']')) return true;
    do {
      value.items.emplace_back();
      if (!element(value.items.back(), depth + 1)) return false;
    } while (taken(','));
    return taken(']');
  }
  bool hex(uint32_t& code) {
    code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      if (at_ == end_ || std::strchr("0123456789abcdefABCDEF", *at_) == nullptr || *at_ == 0) return false;
      const char c = *at_;
      code = code * 16 + static_cast<uint32_t>(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return true;
  }
  static void utf8(std::string& text, uint32_t code) {
    if (code < 0x80) {
      text += static_cast<char>(code);
      return;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint32_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    text += static_cast<char>(lead[more] | (code >> (6 * more)));
    while (more-- > 0) text += static_cast<char>(0x80 | ((code >> (6 * more)) & 0x3F));
  }
  bool string(std::string& text) {
    text.clear();
    for (++at_; at_ != end_ && *at_ != '"'; ++at_) {
      if (*at_ != '\\') {
        text += *at_;
        continue;
      }
      if (++at_ == end_) return false;
      static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
      if (*at_ == 'u') {
        ++at_;
        uint32_t code = 0, low = 0;
        if (!hex(code)) return false;
        if (code >= 0xD800 && code < 0xDC00) {
          if (!word("\\u") || !hex(low) || low < 0xDC00 || low > 0xDFFF) return false;
          code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        }
        utf8(text, code);
        --at_;
      } else if (const char* place = std::strchr(from, *at_); place != nullptr && *at_ != 0) {
        text += to[place - from];
      } else {
        return false;
      }
    }
    return at_ != end_ && *at_++ == '"';
  }
};

}  // namespace json

// ------------------------------------------------------------------------------------------------------ manifest

struct Type {
  const char* name;
  int onnx;
  size_t bytes;
};

template <typename Wanted>
const Type* type_where(const Wanted& wanted) {
  static const Type types[] = {{"float32", 1, 4}, {"uint8", 2, 1},    {"int8", 3, 1},     {"uint16", 4, 2},
                               {"int16", 5, 2},   {"int32", 6, 4},    {"int64", 7, 8},    {"bool", 9, 1},
                               {"float16", 10, 2}, {"float64", 11, 8}, {"uint32", 12, 4},  {"uint64", 13, 8},
                               {"bfloat16", 16, 2}};
  for (const Type& type : types)
    if (wanted(type)) return &type;
  return nullptr;
}

inline const Type* type_named(const std::string& name) {
  return type_where([&](const Type& type) { return name == type.name; });
}

// One step of the formula of the offline length: floor((mul * T + add) / div), never below 0.
struct LengthStep {
  int64_t mul, add, div;
};

inline int64_t floor_div(int64_t a, int64_t b) { return a / b - ((a % b != 0) && ((a < 0) != (b < 0))); }

struct Port {
  std::string name;
  const Type* type = nullptr;
  std::vector<int64_t> shape;        // of one call
  int axis = -1;                     // the stream axis; -1: each call has one value without frames
  bool step = false;                 // the whole value is one frame
  bool fixed = false;                // a static input, or an output without time
  int batch_axis = -1;               // the axis on which the streams of a batch lie, one after the other; -1: none
  int64_t frames = 1;                // of one call
  int64_t rate_up = 1, rate_down = 1;  // rate_up / rate_down frames for each frame of the first stream input
  int64_t delay = 0;
  std::vector<LengthStep> length;

  size_t count() const {
    size_t total = 1;
    for (int64_t size : shape) total *= static_cast<size_t>(size);
    return total;
  }
  size_t bytes() const { return count() * type->bytes; }
  size_t outer() const {
    size_t total = 1;
    for (int a = 0; a < axis; ++a) total *= static_cast<size_t>(shape[static_cast<size_t>(a)]);
    return total;
  }
  size_t frame_bytes() const { return bytes() / static_cast<size_t>(frames); }
  int64_t length_of(int64_t input_frames) const {
    for (const LengthStep& s : length) input_frames = std::max<int64_t>(0, floor_div(s.mul * input_frames + s.add, s.div));
    return input_frames;
  }
};

struct State {
  std::string input, output, file, key;
  const Type* type = nullptr;
  std::vector<int64_t> shape;
  int batch_axis = -1;
  double fill = 0;
  size_t count() const {
    size_t total = 1;
    for (int64_t size : shape) total *= static_cast<size_t>(size);
    return total;
  }
};

struct Manifest {
  std::vector<Port> inputs, outputs;
  std::vector<State> states;
  std::string valid_frames;
  int64_t chunk = 0, min_frames = 1, longest = -1, streams = 1;
  double frame_ms = 0, reset_s = 0;
  bool any_size = false;  // a call may take any multiple of the smallest chunk
  bool own_clocks = false;  // each of `streams` streams begins and ends on its own

  // Reads a manifest. If calls may have any size, one call takes `multiple` of the smallest chunk.
  bool parse(const std::string& text, int64_t multiple, std::string& error) {
    json::Value root;
    if (!json::Reader(text.data(), text.data() + text.size()).read(root))
      return error = "not a manifest of graphc: it is not JSON", false;
    return take(root, multiple, error);
  }

  // The same for a manifest that stands in another file.
  bool take(const json::Value& root, int64_t multiple, std::string& error) {
    if (root["format"].text != "graphc.manifest/1") return error = "not a manifest of graphc", false;
    any_size = root["chunk"].is_null();
    chunk = root[any_size ? "chunk_multiple" : "chunk"].integer();
    if (chunk >= 1 && chunk <= kLargest && any_size) chunk *= multiple;
    if (chunk < 1 || chunk > kLargest) return error = "the manifest's chunk is out of range", false;
    own_clocks = !root["streams"].is_null();
    if (own_clocks) streams = std::max<int64_t>(1, std::min<int64_t>(root["streams"].integer(), 4096));
    for (const json::Value& entry : root["inputs"].items)
      if (!port(entry, inputs, false, error)) return false;
    for (const json::Value& entry : root["outputs"].items)
      if (!port(entry, outputs, true, error)) return false;
    for (const json::Value& entry : root["states"].items)
      if (!state(entry, error)) return false;
    valid_frames = root["valid_frames"].text;
    min_frames = root["min_frames"].is_null() ? 1 : root["min_frames"].integer();
    if (!root["max_frames"].is_null() && root["beyond"].text != "continues") longest = root["max_frames"].integer();
    frame_ms = root["frame_ms"].number;
    reset_s = root["reset_s"].number;
    return true;
  }

 private:
  static constexpr int64_t kLargest = 1 << 30, kMostRate = 1 << 20;

  static bool sizes(const json::Value& list, std::vector<int64_t>& shape, int axis, int64_t frames) {
    int64_t total = 1;
    for (size_t a = 0; a < list.items.size(); ++a) {
      const json::Value& size = list.items[a];
      shape.push_back(static_cast<int>(a) == axis ? frames : size.kind == json::Value::Kind::number ? size.integer() : 1);
      if (shape.back() < 0 || shape.back() > kLargest) return false;
      if ((total *= std::max<int64_t>(1, shape.back())) > kLargest) return false;
    }
    return axis < static_cast<int>(shape.size());
  }
  bool port(const json::Value& entry, std::vector<Port>& side, bool output, std::string& error) {
    Port made;
    made.name = entry["name"].text;
    made.type = type_named(entry["dtype"].text);
    const int64_t axis = entry["axis"].is_null() ? -1 : entry["axis"].integer();
    const auto& shape = entry["shape"].items;
    if (axis < -1 || axis >= static_cast<int64_t>(shape.size()))
      return error = "the axis of the manifest's port '" + made.name + "' is out of range", false;
    made.axis = static_cast<int>(axis);
    const auto& rate = entry["rate"].items;
    if (rate.size() == 2) made.rate_up = rate[0].integer(), made.rate_down = rate[1].integer();
    made.step = made.axis < 0 && entry["frames"].integer() == 1;
    made.fixed = made.axis < 0 && !made.step;
    if (made.rate_up < 1 || made.rate_down < 1 || made.rate_up > kMostRate || made.rate_down > kLargest)
      return error = "the rate of the manifest's port '" + made.name + "' is out of range", false;
    made.frames = made.axis < 0 ? 1 : any_size ? chunk * made.rate_up / made.rate_down : entry["frames"].integer();
    const bool lies = made.axis >= 0 && !any_size && shape[static_cast<size_t>(axis)].integer() != made.frames;
    if (lies) return error = "the manifest's port '" + made.name + "' has frames that contradict its shape", false;
    if (made.frames < 1 || made.frames > kLargest)
      return error = "the number of frames of the manifest's port '" + made.name + "' is out of range", false;
    made.delay = entry["delay"].integer();
    for (const json::Value& s : entry["length"].items) {
      made.length.push_back({s["mul"].integer(), s["add"].integer(), s["div"].integer()});
      const LengthStep& step = made.length.back();
      if (step.div < 1 || step.div > kLargest || std::abs(step.add) > kLargest || std::abs(step.mul) > kMostRate)
        return error = "the length of the manifest's port '" + made.name + "' is not valid", false;
    }
    if (made.type == nullptr || !sizes(entry["shape"], made.shape, made.axis, made.frames) || (output && (made.delay < 0 || made.delay > kLargest)))
      return error = "the manifest's port '" + made.name + "' has a dtype, a shape or a delay that is not valid", false;
    if (!batched(entry, made.shape, made.batch_axis))
      return error = "the batch axis of the manifest's port '" + made.name + "' is not valid", false;
    side.push_back(std::move(made));
    return true;
  }
  // Reads the batch axis. False if it is out of range, or if its size is not a multiple of the number of streams.
  bool batched(const json::Value& entry, const std::vector<int64_t>& shape, int& axis) const {
    if (entry["batch_axis"].is_null()) return true;
    const int64_t given = entry["batch_axis"].integer();
    if (given < 0 || given >= static_cast<int64_t>(shape.size())) return false;
    axis = static_cast<int>(given);
    return shape[static_cast<size_t>(given)] % streams == 0;
  }
  bool state(const json::Value& entry, std::string& error) {
    State made;
    made.input = entry["input"].text;
    made.output = entry["output"].text;
    made.type = type_named(entry["dtype"].text);
    const json::Value &init = entry["init"], &fill = init["fill"];
    made.file = init["file"].text;
    made.key = init["key"].text;
    const double infinite = std::numeric_limits<double>::infinity();
    made.fill = fill.text == "inf" ? infinite : fill.text == "-inf" ? -infinite : fill.number;
    if (fill.text == "nan") made.fill = std::numeric_limits<double>::quiet_NaN();
    if (made.type == nullptr || !sizes(entry["shape"], made.shape, -1, 0))
      return error = "the manifest's state '" + made.input + "' has a dtype or a shape that is not valid", false;
    if (!batched(entry, made.shape, made.batch_axis))
      return error = "the batch axis of the manifest's state '" + made.input + "' is not valid", false;
    states.push_back(std::move(made));
    return true;
  }
};

// --------------------------------------------------------------------------------------------------- first values

inline bool read_file(const std::string& path, std::vector<char>& content) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return false;
  char block[1 << 16];
  size_t got = 0;
  content.clear();
  while ((got = std::fread(block, 1, sizeof block, file)) > 0) content.insert(content.end(), block, block + got);
  const bool whole = std::ferror(file) == 0;
  std::fclose(file);
  return whole;
}

// Reads the elements of one array from an .npz whose members are stored uncompressed, as graphc writes it
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
inline bool npz_entry(const std::vector<char>& zip, const std::string& key, size_t bytes, std::vector<char>& into) {
  const auto number = [&](size_t at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size && at + i < zip.size(); ++i)
      value |= static_cast<uint64_t>(static_cast<unsigned char>(zip[at + i])) << (8 * i);
    return value;
  };
  const std::string wanted = key + ".npy";
  for (size_t at = 0; at + 30 <= zip.size() && number(at, 4) == 0x04034b50;) {
    const size_t name = number(at + 26, 2), more = number(at + 28, 2), held = number(at + 18, 4);
    const size_t data = at + 30 + name + more;
    if (data > zip.size() || held > zip.size() - data) return false;
    if (number(at + 8, 2) == 0 && std::string(zip.data() + at + 30, name) == wanted && held >= 10) {
      const size_t header = number(data + 6, 1) >= 2 ? 12 : 10;
      const size_t head = number(data + 6, 1) >= 2 ? number(data + 8, 4) : number(data + 8, 2);
      if (header + head > held || held - header - head != bytes) return false;
      into.assign(&zip[data] + header + head, &zip[data] + held);
      return true;
    }
    at = data + held;
  }
  return false;
}

// Fills an array with one number. False if the type cannot hold it.
template <typename T>
bool fill_with(std::vector<char>& bytes, double value) {
  using Limits = std::numeric_limits<T>;
  if (Limits::is_integer && !(value >= static_cast<double>(Limits::lowest()) && value < std::ldexp(1.0, Limits::digits))) return false;
  const T one = static_cast<T>(value);
  for (size_t i = 0; i + sizeof one <= bytes.size(); i += sizeof one) std::memcpy(&bytes[i], &one, sizeof one);
  return true;
}

inline uint16_t half_of(double value) {
  if (std::isnan(value)) return 0x7e00;
  if (std::isinf(value)) return value > 0 ? 0x7c00 : 0xfc00;
  int exponent = 0;
  const double fraction = std::frexp(std::abs(value), &exponent);
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (fraction == 0) return sign;
  if (exponent > 16) return static_cast<uint16_t>(sign | 0x7c00);
  if (exponent < -13) return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::nearbyint(std::ldexp(fraction, exponent + 24))));
  return static_cast<uint16_t>(sign + ((exponent + 13) << 10) + static_cast<int>(std::nearbyint(std::ldexp(fraction, 11))));
}

inline bool first_value(const State& state, const std::string& folder, std::vector<char>& bytes, std::string& error) {
  bytes.assign(state.count() * state.type->bytes, 0);
  if (!state.file.empty()) {
    std::vector<char> zip;
    if (state.file.find_first_of("/\\") != std::string::npos || state.file[0] == '.' ||
        !read_file(folder + state.file, zip) || !npz_entry(zip, state.key, bytes.size(), bytes))
      return error = "the first value of '" + state.input + "' cannot be read from '" + state.file + "'", false;
    return true;
  }
  const std::string type = state.type->name;
  if (state.fill == 0) return true;
  bool held = true;
  if (type == "float32") held = fill_with<float>(bytes, state.fill);
  else if (type == "float64") held = fill_with<double>(bytes, state.fill);
  else if (type == "int64") held = fill_with<int64_t>(bytes, state.fill);
  else if (type == "int32") held = fill_with<int32_t>(bytes, state.fill);
  else if (type == "int16") held = fill_with<int16_t>(bytes, state.fill);
  else if (type == "int8") held = fill_with<int8_t>(bytes, state.fill);
  else if (type == "uint64") held = fill_with<uint64_t>(bytes, state.fill);
  else if (type == "uint32") held = fill_with<uint32_t>(bytes, state.fill);
  else if (type == "uint16") held = fill_with<uint16_t>(bytes, state.fill);
  else if (type == "uint8" || type == "bool") held = fill_with<uint8_t>(bytes, state.fill);
  else if (type == "float16") held = fill_with<uint16_t>(bytes, half_of(state.fill));
  else return error = "the first value of '" + state.input + "' is a " + type + ", which this client does not support", false;
  return held || (error = "the first value of '" + state.input + "' does not fit a " + type, false);
}

// ------------------------------------------------------------------------------------------------------- backends

// Memory that a runtime reads or writes, aligned to 64 bytes. Some kernels read a few bytes past the end: they are there.
class Memory {
 public:
  explicit Memory(size_t bytes = 0) : raw_(bytes + 2 * kAlign, 0), bytes_(bytes) {}
  char* data() { return raw_.data() + skipped(); }
  const char* data() const { return raw_.data() + skipped(); }
  size_t bytes() const { return bytes_; }

 private:
  static constexpr size_t kAlign = 64;
  std::vector<char> raw_;
  size_t bytes_;

  size_t skipped() const { return (kAlign - reinterpret_cast<uintptr_t>(raw_.data()) % kAlign) % kAlign; }
};

struct Bound {
  const char* name;
  const Type* type;
  const std::vector<int64_t>* shape;
  char* data;
  size_t bytes;
};

// A runtime. bind() is called once for each turn. An even turn reads the states from the first set of buffers and writes
// them to the second; an odd turn does the opposite. Turns 2 and 3 are for the larger calls of a model whose calls may have
// any size.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual bool open(const std::string& path, int threads, std::string& manifest, std::string& error) = 0;
  virtual bool bind(int turn, const std::vector<Bound>& inputs, const std::vector<Bound>& outputs, std::string& error) = 0;
  virtual bool run(int turn, std::string& error) = 0;
};

// What the backends of converted models share: STEM + suffix has its manifest beside it, and calls of one size.
inline bool manifest_beside(const std::string& path, const std::string& suffix, std::string& manifest, std::string& error) {
  if (path.size() <= suffix.size() || path.compare(path.size() - suffix.size(), suffix.size(), suffix) != 0)
    return error = path + ": expected a file named STEM" + suffix, false;
  std::vector<char> text;
  const std::string beside = path.substr(0, path.size() - suffix.size()) + ".manifest.json";
  if (!read_file(beside, text)) return error = beside + ": the manifest cannot be read", false;
  manifest.assign(text.begin(), text.end());
  return true;
}

inline bool has_one_size(int turn, std::string& error) {
  return turn < 2 || (error = "the calls of a converted model have one size; do not set catch_up", false);
}

#ifndef GRAPHC_WITHOUT_ONNXRUNTIME

#ifndef ORT_API_VERSION
extern "C" const void* OrtGetApiBase();
#endif

// onnxruntime through its C API, a table of functions whose order never changes
// (https://onnxruntime.ai/docs/api/c/struct_ort_api.html).
class Onnxruntime : public Backend {
 public:
  Onnxruntime() = default;
  Onnxruntime(const Onnxruntime&) = delete;
  Onnxruntime& operator=(const Onnxruntime&) = delete;

  ~Onnxruntime() override {
    if (api_ == nullptr) return;
    for (void* binding : bindings_) release(kReleaseIoBinding, binding);
    for (void* value : values_) release(kReleaseValue, value);
    release(kReleaseRunOptions, run_options_);
    release(kReleaseMemoryInfo, memory_);
    release(kReleaseSession, session_);
    release(kReleaseSessionOptions, options_);
    release(kReleaseEnv, env_);
  }

  bool open(const std::string& path, int threads, std::string& manifest, std::string& error) override {
    void* metadata = nullptr;
    char* text = nullptr;
    const bool opened = open_model(path, threads, error) &&
        done(call<void*, void**>(kSessionGetModelMetadata)(session_, &metadata), error) &&
        done(call<void*, void*, const char*, char**>(kModelMetadataLookupCustomMetadataMap)(
                 metadata, allocator_, "graphc.manifest", &text), error);
    if (text != nullptr) manifest = text, call<void*, void*>(kAllocatorFree)(allocator_, text);
    release(kReleaseModelMetadata, metadata);
    if (opened && manifest.empty())
      return error = path + ": not a model compiled by graphc: it holds no manifest; "
                            "compile it, and give the output: graphc compile SPEC", false;
    return opened;
  }

  // Opens any model, also one without a manifest.
  bool open_model(const std::string& path, int threads, std::string& error) {
    struct Base {
      const void* const* (*api)(uint32_t version);
      const char* (*version)();
    };
    const auto* base = reinterpret_cast<const Base*>(OrtGetApiBase());
    api_ = base->api(kVersion);
    if (api_ == nullptr) return error = "onnxruntime is older than 1.14", false;
    return done(call<int, const char*, void**>(kCreateEnv)(kErrors, "graphc", &env_), error) &&
           done(call<void*>(kDisableTelemetryEvents)(env_), error) &&
           done(call<void**>(kCreateSessionOptions)(&options_), error) &&
           done(call<void*, int>(kSetIntraOpNumThreads)(options_, threads), error) &&
           done(call<void*, const char*, const char*>(kAddSessionConfigEntry)(
                    options_, "session.intra_op.allow_spinning", threads > 1 ? "1" : "0"), error) &&
           done(create_session(path), error) && done(call<void**>(kCreateRunOptions)(&run_options_), error) &&
           done(call<int, int, void**>(kCreateCpuMemoryInfo)(kDevice, kDefault, &memory_), error) &&
           done(call<void**>(kGetAllocatorWithDefaultOptions)(&allocator_), error);
  }

  // A port as the model declares it. A size that is not known is -1.
  struct Declared {
    std::string name;
    const Type* type = nullptr;
    std::vector<int64_t> shape;
  };

  bool declared(bool inputs, std::vector<Declared>& ports, std::string& error) const {
    size_t count = 0;
    if (!done(call<void*, size_t*>(inputs ? kSessionGetInputCount : kSessionGetOutputCount)(session_, &count), error)) return false;
    ports.assign(count, Declared());
    for (size_t i = 0; i < count; ++i) {
      char* name = nullptr;
      void* info = nullptr;
      const void* tensor = nullptr;
      int type = 0;
      size_t rank = 0;
      bool read =
          done(call<void*, size_t, void*, char**>(inputs ? kSessionGetInputName : kSessionGetOutputName)(session_, i, allocator_, &name), error) &&
          done(call<void*, size_t, void**>(inputs ? kSessionGetInputTypeInfo : kSessionGetOutputTypeInfo)(session_, i, &info), error) &&
          done(call<void*, const void**>(kCastTypeInfoToTensorInfo)(info, &tensor), error);
      if (name != nullptr) ports[i].name = name, call<void*, void*>(kAllocatorFree)(allocator_, name);
      if (read && tensor != nullptr) {
        read = done(call<const void*, int*>(kGetTensorElementType)(tensor, &type), error) &&
               done(call<const void*, size_t*>(kGetDimensionsCount)(tensor, &rank), error);
        ports[i].shape.resize(rank);
        read = read && done(call<const void*, int64_t*, size_t>(kGetDimensions)(tensor, ports[i].shape.data(), rank), error);
        ports[i].type = type_where([type](const Type& known) { return known.onnx == type; });
      }
      release(kReleaseTypeInfo, info);
      if (!read) return false;
    }
    return true;
  }

  bool bind(int turn, const std::vector<Bound>& inputs, const std::vector<Bound>& outputs, std::string& error) override {
    void*& binding = bindings_[turn];
    if (!done(call<void*, void**>(kCreateIoBinding)(session_, &binding), error)) return false;
    for (const Bound& port : inputs)
      if (!done(call<void*, const char*, const void*>(kBindInput)(binding, port.name, tensor(port, error)), error)) return false;
    for (const Bound& port : outputs)
      if (!done(call<void*, const char*, const void*>(kBindOutput)(binding, port.name, tensor(port, error)), error)) return false;
    return true;
  }

  bool run(int turn, std::string& error) override {
    return done(call<void*, const void*, const void*>(kRunWithBinding)(session_, run_options_, bindings_[turn]), error);
  }

 private:
  static constexpr uint32_t kVersion = 14;
  static constexpr int kErrors = 3, kDevice = 0, kDefault = 0;
  enum Place : size_t {
    kGetErrorMessage = 2, kCreateEnv = 3, kDisableTelemetryEvents = 6, kCreateSession = 7, kCreateSessionOptions = 10,
    kSetIntraOpNumThreads = 24, kSessionGetInputCount = 30, kSessionGetOutputCount = 31, kSessionGetInputTypeInfo = 33,
    kSessionGetOutputTypeInfo = 34, kSessionGetInputName = 36, kSessionGetOutputName = 37, kCreateRunOptions = 39,
    kCreateTensorWithDataAsOrtValue = 49, kCastTypeInfoToTensorInfo = 55, kGetTensorElementType = 60,
    kGetDimensionsCount = 61, kGetDimensions = 62, kCreateCpuMemoryInfo = 69,
    kAllocatorFree = 76, kGetAllocatorWithDefaultOptions = 78, kReleaseEnv = 92, kReleaseStatus = 93,
    kReleaseMemoryInfo = 94, kReleaseSession = 95, kReleaseValue = 96, kReleaseRunOptions = 97,
    kReleaseTypeInfo = 98, kReleaseSessionOptions = 100, kSessionGetModelMetadata = 111, kModelMetadataLookupCustomMetadataMap = 116,
    kReleaseModelMetadata = 118, kAddSessionConfigEntry = 130, kRunWithBinding = 133, kCreateIoBinding = 134,
    kReleaseIoBinding = 135, kBindInput = 136, kBindOutput = 137
  };
  const void* const* api_ = nullptr;
  void *env_ = nullptr, *options_ = nullptr, *session_ = nullptr, *memory_ = nullptr, *run_options_ = nullptr, *allocator_ = nullptr;
  void* bindings_[4] = {nullptr, nullptr, nullptr, nullptr};
  std::vector<void*> values_;

  template <typename... Args>
  using Function = void* (*)(Args...);

  template <typename... Args>
  Function<Args...> call(Place place) const {
    return reinterpret_cast<Function<Args...>>(reinterpret_cast<uintptr_t>(api_[place]));
  }
  void release(Place place, void* held) const {
    if (held != nullptr) reinterpret_cast<void (*)(void*)>(reinterpret_cast<uintptr_t>(api_[place]))(held);
  }
  bool done(void* status, std::string& error) const {
    if (status == nullptr) return true;
    error = reinterpret_cast<const char* (*)(const void*)>(reinterpret_cast<uintptr_t>(api_[kGetErrorMessage]))(status);
    release(kReleaseStatus, status);
    return false;
  }
  void* create_session(const std::string& path) {
#ifdef _WIN32
    const std::wstring wide(path.begin(), path.end());
    return call<void*, const wchar_t*, void*, void**>(kCreateSession)(env_, wide.c_str(), options_, &session_);
#else
    return call<void*, const char*, void*, void**>(kCreateSession)(env_, path.c_str(), options_, &session_);
#endif
  }
  const void* tensor(const Bound& port, std::string& error) {
    void* made = nullptr;
    const auto create =
        call<void*, void*, size_t, const int64_t*, size_t, int, void**>(kCreateTensorWithDataAsOrtValue);
    if (!done(create(memory_, port.data, port.bytes, port.shape->data(), port.shape->size(), port.type->onnx, &made), error))
      return nullptr;
    values_.push_back(made);
    return made;
  }
};

#endif  // GRAPHC_WITHOUT_ONNXRUNTIME

// --------------------------------------------------------------------------------------------------------- frames

// A queue of frames. It grows only when more frames wait in it than ever before.
class Frames {
 public:
  explicit Frames(size_t outer = 1, size_t inner_bytes = 0) : outer_(outer), inner_(inner_bytes) {}

  size_t frame_bytes() const { return outer_ * inner_; }
  int64_t count() const { return frame_bytes() == 0 ? empty_ : static_cast<int64_t>((end_ - begin_) / frame_bytes()); }
  void clear() { begin_ = end_ = 0, empty_ = 0; }

  void drop_last(int64_t frames) {
    end_ -= static_cast<size_t>(frames) * frame_bytes();
    if (frame_bytes() == 0) empty_ -= frames;
  }

  void reserve(int64_t frames) { held_.resize(std::max(held_.size(), static_cast<size_t>(frames) * frame_bytes())); }

  // Appends the frames [first, first + count) of `data`, which is laid out as (outer, total, inner).
  void put(const char* data, int64_t first, int64_t count, int64_t total) {
    if (count <= 0) return;
    if (frame_bytes() == 0) {
      empty_ += count;
      return;
    }
    if (outer_ == 1) return put_rows(data + static_cast<size_t>(first) * inner_, count);
    char* into = room_for(count);
    for (int64_t f = first; f < first + count; ++f, into += frame_bytes())
      spread(data + static_cast<size_t>(f) * inner_, static_cast<size_t>(total) * inner_, into, inner_);
  }

  // Appends frames that are stored one after the other, whatever the model's layout.
  void put_rows(const char* data, int64_t count) {
    if (frame_bytes() == 0) empty_ += count;
    else std::memcpy(room_for(count), data, static_cast<size_t>(count) * frame_bytes());
  }

  // Moves the next `count` frames to the start of `into`, which is laid out as (outer, total, inner).
  void take(char* into, int64_t count, int64_t total) {
    if (frame_bytes() == 0) {
      empty_ -= count;
      return;
    }
    if (outer_ == 1) {
      std::memcpy(into, held_.data() + begin_, static_cast<size_t>(count) * inner_);
    } else {
      const char* from = held_.data() + begin_;
      for (int64_t f = 0; f < count; ++f, from += frame_bytes())
        spread(from, inner_, into + static_cast<size_t>(f) * inner_, static_cast<size_t>(total) * inner_);
    }
    begin_ += static_cast<size_t>(count) * frame_bytes();
  }

  // Undoes a `take`, if nothing was appended since.
  void give_back(int64_t count) {
    begin_ -= static_cast<size_t>(count) * frame_bytes();
    if (frame_bytes() == 0) empty_ += count;
  }

 private:
  char* room_for(int64_t frames) {
    const size_t bytes = static_cast<size_t>(frames) * frame_bytes();
    if (begin_ == end_) begin_ = end_ = 0;
    if (end_ + bytes > held_.size()) {
      std::memmove(held_.data(), held_.data() + begin_, end_ - begin_);
      end_ -= begin_, begin_ = 0;
      if (end_ + bytes > held_.size()) held_.resize(std::max(end_ + bytes, 2 * held_.size()));
    }
    end_ += bytes;
    return held_.data() + end_ - bytes;
  }

  // Copies the parts of one frame, which lie `from_step` bytes apart in `from` and `into_step` bytes apart in `into`.
  void spread(const char* from, size_t from_step, char* into, size_t into_step) const {
    if (inner_ == 4) {
      for (size_t o = 0; o < outer_; ++o) std::memcpy(into + o * into_step, from + o * from_step, 4);
    } else {
      for (size_t o = 0; o < outer_; ++o) std::memcpy(into + o * into_step, from + o * from_step, inner_);
    }
  }

  std::vector<char> held_;
  size_t outer_, inner_, begin_ = 0, end_ = 0;
  int64_t empty_ = 0;
};

// --------------------------------------------------------------------------------------------------------- stream

// An output of the model: the frames that wait to be taken.
class Output {
 public:
  const Port& port() const { return *port_; }
  size_t frame_bytes() const { return frames_.frame_bytes(); }
  // The number of waiting frames that certainly exist; the end of the stream may still cut the others.
  int64_t available() const {
    if (port_ == nullptr || port_->fixed) return frames_.count();
    return earlier_ + std::max<int64_t>(0, std::min(frames_.count() - earlier_, port_->length_of(seen_) - taken_));
  }
  // Copies frames into `into`, in the layout of the offline model. `into` must have room for them. False if fewer are there.
  bool take(void* into, int64_t frames) {
    if (frames < 0 || frames > available()) return false;
    frames_.take(static_cast<char*>(into), frames, frames);
    const int64_t old = std::min(frames, earlier_);
    earlier_ -= old;
    taken_ += frames - old;
    return true;
  }

 private:
  friend class Stream;
  friend struct StreamBuffer;
  const Port* port_ = nullptr;
  Frames frames_;
  int64_t given_ = 0, taken_ = 0, seen_ = 0, earlier_ = 0;

  // The stream has ended: its waiting frames stay, and those of the next stream follow them.
  void begin_anew() {
    const int64_t whole = available();
    frames_.drop_last(frames_.count() - whole);
    given_ = taken_ = seen_ = 0;
    earlier_ = port_->fixed ? 0 : whole;
  }
};

struct Input {
  const Port* port = nullptr;
  Memory* memory = nullptr;  // one chunk, or the value of a static input
  Frames frames;
  int64_t pushed = 0, taken = 0;  // frames so far; frames that the last call took
  bool set = false;
};

// The buffers of one stream: input frames that wait for a call, and output frames that wait to be taken.
struct StreamBuffer {
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  int64_t fed = 0;  // input frames that calls have taken

  // Makes the buffers. They keep pointers to the ports and to `memory`. A call takes at most `larger` chunks.
  bool lay_out(const Manifest& manifest, const std::vector<Port>& taken, const std::vector<Port>& given,
               std::vector<Memory>& memory, int64_t larger, std::string& error) {
    inputs.clear(), outputs.clear();
    chunk = manifest.chunk, min_frames = manifest.min_frames, longest = manifest.longest;
    for (const Port& port : taken) {
      Input made;
      made.port = &port;
      made.memory = &memory[inputs.size()];
      made.frames = Frames(port.outer(), port.frame_bytes() / std::max<size_t>(1, port.outer()));
      made.frames.reserve(2 * port.frames * larger);
      inputs.push_back(std::move(made));
    }
    for (const Port& port : given) {
      Output made;
      made.port_ = &port;
      made.frames_ = Frames(port.outer(), port.frame_bytes() / std::max<size_t>(1, port.outer()));
      made.frames_.reserve(4 * port.frames * larger);
      outputs.push_back(std::move(made));
    }
    const bool streams = std::any_of(inputs.begin(), inputs.end(), [](const Input& i) { return !i.port->fixed; });
    if (!streams || outputs.empty()) return error = "the manifest names no stream input, or no output", false;
    return true;
  }

  void clear_outputs() {
    for (Output& output : outputs) {
      output.frames_.clear();
      output.given_ = output.taken_ = output.seen_ = output.earlier_ = 0;
    }
  }
  Output* output_named(const std::string& name) {
    for (Output& output : outputs)
      if (output.port().name == name) return &output;
    return nullptr;
  }
  // Stores the value of a static input. For a stream input, counts the frames, or refuses them.
  bool takes(Input& input, const void* data, int64_t frames, std::string& error) {
    if (frames < 0) return error = "the number of frames is " + std::to_string(frames) + ", expected 0 or more", false;
    if (input.port->fixed) {
      if (fed > 0 && input.set && std::memcmp(input.memory->data(), data, input.memory->bytes()) != 0)
        return error = "the static input '" + input.port->name + "' already has another value; reset() to start another stream", false;
      std::memcpy(input.memory->data(), data, input.memory->bytes());
      return input.set = true;
    }
    if (const Input* other = missing())
      return error = "the static input '" + other->port->name + "' was not given; push it before the first frames", false;
    input.pushed += frames;
    if (longest < 0 || total_frames() <= longest) return true;
    input.pushed -= frames;
    return error = "the stream is longer than " + std::to_string(longest) + " frames, the most that this model takes", false;
  }
  // A static input that was not given, or null.
  const Input* missing() const {
    for (const Input& input : inputs)
      if (input.port->fixed && !input.set) return &input;
    return nullptr;
  }
  // Copies the next frames of an input, padded with zeros where the stream ends.
  static void fill(Input& input, Memory& memory, int64_t frames) {
    const int64_t there = std::min(input.frames.count(), frames);
    if (there < frames) std::memset(memory.data(), 0, memory.bytes());
    input.frames.take(memory.data(), there, frames);
    input.taken = there;
  }
  // The call that took the frames has failed: they wait for the next one.
  void give_back() {
    for (Input& input : inputs)
      if (!input.port->fixed) input.frames.give_back(input.taken);
  }
  // Keeps the output of a call, without the frames that come before frame 0.
  void collect(Output& output, const char* value, int64_t frames) {
    const int64_t early = output.port().fixed ? 0 : std::min(std::max<int64_t>(output.port().delay - output.given_, 0), frames);
    output.given_ += frames;
    output.seen_ = fed;
    output.frames_.put(value, early, frames - early, frames);
  }

  int64_t frames_in(const Input& input) const { return -floor_div(-input.pushed * chunk, input.port->frames); }
  int64_t total_frames() const {
    int64_t most = 0;
    for (const Input& input : inputs)
      if (!input.port->fixed) most = std::max(most, frames_in(input));
    return most;
  }
  bool ready(int64_t chunks) const {
    for (const Input& input : inputs)
      if (!input.port->fixed && input.frames.count() < chunks * input.port->frames) return false;
    return true;
  }
  // Whether the stream may end here.
  bool may_end(std::string& error) const {
    const int64_t total = total_frames();
    for (const Input& input : inputs)
      if (!input.port->fixed && input.pushed * chunk != total * input.port->frames)
        return error = "the stream inputs end at different times", false;
    const auto gives = [total](const Output& o) { return o.port().fixed || o.port().length_of(total) > 0; };
    if (total <= 0 || total >= min_frames || std::none_of(outputs.begin(), outputs.end(), gives)) return true;
    error = "a stream of " + std::to_string(total) + " frames is too short: the model equals the offline one from ";
    error += std::to_string(min_frames) + " frames on; drop the stream, or go on with it";
    return false;
  }
  // Whether a stream that has ended needs another call.
  bool lacking(int64_t total) const {
    if (total > fed) return true;
    for (const Output& output : outputs)
      if (!output.port().fixed && output.port().delay + output.port().length_of(total) > output.given_) return true;
    return false;
  }
  void all_seen(int64_t total) {
    for (Output& output : outputs) output.seen_ = total;
  }

 private:
  int64_t chunk = 0, min_frames = 1, longest = -1;
};

struct Options {
  int threads = 1;
  // For a model whose calls may have any size: one call takes `multiple` of the smallest chunk. If `catch_up` such calls are
  // waiting, one larger call replaces them; 1: no larger calls.
  int64_t multiple = 1, catch_up = 1;
  // Begins another stream in a silence: once the stream has lasted `reset_after_s` seconds (0: the manifest's reset_s), the
  // next push to the first input whose root mean square is below `reset_below` ends it. The tail comes first. A
  // `reset_below` of 0: never.
  double reset_below = 0, reset_after_s = 0;
};

// Makes the calls of a model. All memory is bound once. There are two sets of states: a call reads one and writes the other.
struct Calls {
  Manifest manifest;
  std::vector<Memory> inputs, outputs;
  std::vector<std::vector<char>> first;  // first values of the states
  int64_t larger = 1;                    // chunks of a larger call

  bool open(const std::string& path, std::unique_ptr<Backend> backend, const Options& options, std::string& error) {
    std::string text;
    if (options.multiple < 1 || options.multiple > kMost || options.catch_up < 1 || options.catch_up > kMost)
      return error = "multiple and catch_up must be between 1 and " + std::to_string(kMost), false;
    if (path.size() > 5 && path.compare(path.size() - 5, 5, ".json") == 0)
      return error = path + ": this is a manifest; give the model beside it, which also holds the manifest", false;
    manifest = Manifest();
    backend_ = std::move(backend);
    if (!backend_->open(path, options.threads, text, error) || !manifest.parse(text, options.multiple, error)) return false;
    const size_t slash = path.find_last_of("/\\");
    const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
    larger = manifest.any_size ? std::max<int64_t>(1, options.catch_up) : 1;
    return allocate(folder, error) && bind(1, error) && (larger == 1 || bind(larger, error));
  }

  // Sets the states that the next call reads to their first values.
  void begin() {
    turn_ = 0;
    for (size_t i = 0; i < first.size(); ++i) std::copy(first[i].begin(), first[i].end(), states_[0][i].data());
  }
  const std::vector<Memory>& states() const { return states_[turn_]; }
  std::vector<Memory>& states() { return states_[turn_]; }
  // The states that the last call read.
  std::vector<Memory>& earlier() { return states_[1 - turn_]; }
  void go_back() { turn_ = 1 - turn_; }

  void valid(int64_t stream, int64_t frames) {
    std::memcpy(valid_.data() + static_cast<size_t>(stream) * sizeof frames, &frames, sizeof frames);
  }
  Memory& taken(size_t i, int64_t chunks) { return chunks == 1 ? inputs[i] : more_inputs_[i]; }
  Memory& given(size_t i, int64_t chunks) { return chunks == 1 || manifest.outputs[i].axis < 0 ? outputs[i] : more_outputs_[i]; }

  bool run(int64_t chunks, std::string& error) {
    if (!backend_->run(static_cast<int>(turn_ + (chunks > 1 ? 2 : 0)), error)) return false;
    turn_ = 1 - turn_;
    return true;
  }

 private:
  static constexpr int64_t kMost = 1 << 20;
  static constexpr double kMostBytes = 1 << 30;
  std::vector<Memory> states_[2], more_inputs_, more_outputs_;
  std::vector<std::vector<int64_t>> shapes_;  // of the ports that are being bound
  std::vector<int64_t> valid_shape_;
  Memory valid_;
  size_t turn_ = 0;
  std::unique_ptr<Backend> backend_;  // the last, so that it goes before the memory that it is bound to

  bool allocate(const std::string& folder, std::string& error) {
    inputs.clear(), outputs.clear(), first.clear(), more_inputs_.clear(), more_outputs_.clear();
    for (const std::vector<Port>* side : {&manifest.inputs, &manifest.outputs})
      for (const Port& port : *side)
        if (static_cast<double>(port.bytes()) * static_cast<double>(larger) > kMostBytes)
          return error = "calls of " + std::to_string(larger) + " chunks are too large; lower catch_up", false;
    const auto more = [&](const Port& port) { return larger > 1 ? port.bytes() * static_cast<size_t>(larger) : 0; };
    for (const Port& port : manifest.inputs) inputs.emplace_back(port.bytes()), more_inputs_.emplace_back(more(port));
    for (const Port& port : manifest.outputs) outputs.emplace_back(port.bytes()), more_outputs_.emplace_back(more(port));
    for (std::vector<Memory>& side : states_) {
      side.clear();
      for (const State& state : manifest.states) side.emplace_back(state.count() * state.type->bytes);
    }
    for (const State& state : manifest.states) {
      first.emplace_back();
      if (!first_value(state, folder, first.back(), error)) return false;
    }
    valid_ = Memory(static_cast<size_t>(manifest.streams) * sizeof(int64_t));
    valid_shape_ = {manifest.streams};
    return true;
  }

  // Binds both turns of the calls that take `chunks` chunks.
  bool bind(int64_t chunks, std::string& error) {
    const auto bound = [&](const Port& port, Memory& memory) {
      std::vector<int64_t> shape = port.shape;
      if (port.axis >= 0) shape[static_cast<size_t>(port.axis)] *= chunks;
      shapes_.push_back(shape);
      return Bound{port.name.c_str(), port.type, nullptr, memory.data(), memory.bytes()};
    };
    for (size_t turn = 0; turn < 2; ++turn) {
      std::vector<Bound> from, to;
      shapes_.clear();
      for (size_t i = 0; i < inputs.size(); ++i)
        from.push_back(bound(manifest.inputs[i], taken(i, manifest.inputs[i].axis < 0 ? 1 : chunks)));
      for (size_t i = 0; i < outputs.size(); ++i) to.push_back(bound(manifest.outputs[i], given(i, chunks)));
      for (size_t i = 0; i < from.size(); ++i) from[i].shape = &shapes_[i];
      for (size_t i = 0; i < to.size(); ++i) to[i].shape = &shapes_[inputs.size() + i];
      if (!manifest.valid_frames.empty())
        from.push_back({manifest.valid_frames.c_str(), type_named("int64"), &valid_shape_, valid_.data(), valid_.bytes()});
      for (size_t i = 0; i < manifest.states.size(); ++i) {
        const State& s = manifest.states[i];
        Memory &read = states_[turn][i], &written = states_[1 - turn][i];
        from.push_back({s.input.c_str(), s.type, &s.shape, read.data(), read.bytes()});
        to.push_back({s.output.c_str(), s.type, &s.shape, written.data(), written.bytes()});
      }
      if (!backend_->bind(static_cast<int>(turn + (chunks > 1 ? 2 : 0)), from, to, error)) return false;
    }
    return true;
  }
};

class Stream : private StreamBuffer {
 public:
  // The saved state of a stream. It belongs to the stream that made it, until that opens another model.
  struct Snapshot {
    const void* stream = nullptr;
    int64_t opened = 0;
    std::vector<std::vector<char>> states, statics;
    std::vector<Frames> inputs, outputs;
    std::vector<int64_t> counts;
    std::vector<bool> set;
    bool flushed = false;
  };

#ifndef GRAPHC_WITHOUT_ONNXRUNTIME
  bool open(const std::string& path, const Options& options = {}) {
    return open(path, std::make_unique<Onnxruntime>(), options);
  }
#endif

  bool open(const std::string& path, std::unique_ptr<Backend> backend, const Options& options = {}) {
    opened_ = false;
    ++opens_;
    options_ = options;
    inputs.clear(), outputs.clear();
    if (!calls_.open(path, std::move(backend), options, error_)) return false;
    if (!lay_out(manifest(), manifest().inputs, manifest().outputs, calls_.inputs, larger(), error_)) return false;
    if (options.reset_below > 0) {
      if (options_.reset_after_s <= 0) options_.reset_after_s = manifest().reset_s;
      if (manifest().frame_ms <= 0 || options_.reset_after_s <= 0 || inputs.front().port->type->onnx != 1)
        return error_ = "a reset in silence needs a float32 first input, the manifest's frame_ms, "
                        "and a time to reset after", false;
    }
    opened_ = true;
    reset();
    return true;
  }

  const std::string& error() const { return error_; }
  const Manifest& manifest() const { return calls_.manifest; }
  int64_t larger() const { return calls_.larger; }  // chunks of a larger call
  Output& output() { return outputs.empty() ? none_ : outputs.front(); }
  Output* output(const std::string& name) { return output_named(name); }

  // Discards the stream: states at their first values, buffers empty.
  void reset() {
    begin();
    for (Input& input : inputs) input.set = false;
    clear_outputs();
  }

  // Takes frames of the first input, in the layout of the offline model, and makes every call that they fill.
  bool push(const void* data, int64_t frames) {
    return is_open() && feed(inputs.front(), data, frames) && perhaps_reset(data, frames);
  }

  // The same for frames that are stored one after the other, as in a ring buffer, whatever the model's layout.
  bool push_rows(const void* data, int64_t frames) {
    return is_open() && feed(inputs.front(), data, frames, true) && perhaps_reset(data, frames);
  }

  // The same for an input by name. A static input has one frame: its value.
  bool push(const std::string& name, const void* data, int64_t frames = 1) {
    if (!is_open()) return false;
    for (Input& input : inputs)
      if (input.port->name == name)
        return feed(input, data, frames) && (&input != &inputs.front() || perhaps_reset(data, frames));
    return error_ = "'" + name + "' is not an input of the model", false;
  }

  // Ends the stream: pads the last call, and makes calls until every output is complete.
  bool flush() {
    if (!is_open()) return false;
    if (!may_end(error_)) return false;
    const int64_t total = total_frames();
    flushed_ = true;
    while (lacking(total))
      if (!call(std::min(std::max<int64_t>(total - fed, 0), manifest().chunk))) return false;
    all_seen(total);
    return true;
  }

  Snapshot snapshot() const {
    Snapshot made;
    made.stream = this, made.opened = opens_;
    for (const Memory& state : calls_.states()) made.states.emplace_back(state.data(), state.data() + state.bytes());
    made.counts.push_back(fed);
    for (const Input& input : inputs) {
      made.inputs.push_back(input.frames);
      made.statics.emplace_back(input.memory->data(), input.memory->data() + input.memory->bytes());
      made.counts.push_back(input.pushed);
      made.set.push_back(input.set);
    }
    for (const Output& output : outputs) {
      made.outputs.push_back(output.frames_);
      for (int64_t count : {output.given_, output.taken_, output.seen_, output.earlier_}) made.counts.push_back(count);
    }
    made.flushed = flushed_;
    return made;
  }

  bool resume(const Snapshot& held) {
    if (!opened_ || held.stream != this || held.opened != opens_)
      return error_ = "the snapshot is of another stream, or was made before the model was opened", false;
    for (size_t i = 0; i < calls_.first.size(); ++i) std::copy(held.states[i].begin(), held.states[i].end(), calls_.states()[i].data());
    size_t at = 0;
    fed = held.counts[at++];
    for (size_t i = 0; i < inputs.size(); ++i) {
      inputs[i].frames = held.inputs[i];
      inputs[i].pushed = held.counts[at++];
      inputs[i].set = held.set[i];
      std::copy(held.statics[i].begin(), held.statics[i].end(), inputs[i].memory->data());
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      outputs[i].frames_ = held.outputs[i];
      Output& output = outputs[i];
      for (int64_t* count : {&output.given_, &output.taken_, &output.seen_, &output.earlier_}) *count = held.counts[at++];
    }
    flushed_ = held.flushed;
    return true;
  }

 private:
  Calls calls_;
  Options options_;
  std::string error_;
  Output none_;  // what output() returns while no model is open
  bool opened_ = false, flushed_ = false;
  int64_t opens_ = 0;

  bool is_open() {
    if (!opened_) return error_ = "no model is open", false;
    if (flushed_) return error_ = "the stream has been flushed; call reset() to start another", false;
    return true;
  }

  void begin() {
    calls_.begin();
    fed = 0, flushed_ = false;
    for (Input& input : inputs) input.frames.clear(), input.pushed = 0;
  }

  bool perhaps_reset(const void* data, int64_t frames) {
    if (options_.reset_below <= 0 || frames <= 0) return true;
    const int64_t total = total_frames();
    if (static_cast<double>(total) * manifest().frame_ms / 1000 < options_.reset_after_s || total < manifest().min_frames) return true;
    const size_t count = static_cast<size_t>(frames) * inputs.front().port->frame_bytes() / sizeof(float);
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += std::pow(static_cast<double>(static_cast<const float*>(data)[i]), 2);
    if (std::sqrt(sum / static_cast<double>(count)) >= options_.reset_below) return true;
    if (!flush()) return false;
    for (Output& output : outputs) output.begin_anew();
    begin();
    return true;
  }

  bool feed(Input& input, const void* data, int64_t frames, bool rows = false) {
    if (!takes(input, data, frames, error_)) return false;
    if (input.port->fixed) return true;
    if (!rows && frames == input.port->frames && input.frames.count() == 0 && is_alone(input)) {
      std::memcpy(input.memory->data(), data, input.memory->bytes());
      if (call(manifest().chunk, 1, true)) return true;
      input.frames.put(static_cast<const char*>(data), 0, frames, frames);
      return false;
    }
    for (int64_t at = 0; at < frames;) {
      const int64_t some = std::min(frames - at, std::max<int64_t>(1, larger() * input.port->frames - input.frames.count()));
      const char* from = static_cast<const char*>(data);
      if (rows) input.frames.put_rows(from + static_cast<size_t>(at) * input.frames.frame_bytes(), some);
      else input.frames.put(from, at, some, frames);
      at += some;
      while (ready(1)) {
        const int64_t chunks = ready(larger()) ? larger() : 1;
        if (!call(chunks * manifest().chunk, chunks)) return false;
      }
    }
    return true;
  }

  bool is_alone(const Input& input) const {
    return std::all_of(inputs.begin(), inputs.end(), [&](const Input& i) { return &i == &input || i.port->fixed; });
  }

  // Makes one call of `chunks` chunks, of which `valid` frames are real. `filled`: the input memory already holds them.
  bool call(int64_t valid, int64_t chunks = 1, bool filled = false) {
    for (size_t i = 0; i < inputs.size(); ++i)
      if (!inputs[i].port->fixed && !filled) fill(inputs[i], calls_.taken(i, chunks), chunks * inputs[i].port->frames);
    for (int64_t i = 0; i < manifest().streams; ++i) calls_.valid(i, valid);
    if (!calls_.run(chunks, error_)) {
      if (!filled) give_back();
      return false;
    }
    fed += chunks * manifest().chunk;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const int64_t times = outputs[i].port().axis >= 0 ? chunks : 1;
      collect(outputs[i], calls_.given(i, chunks).data(), outputs[i].port().frames * times);
    }
    return true;
  }
};

// ----------------------------------------------------------------------------------------------------------- live

// A lock-free ring buffer of frames between two threads: one writes, the other reads.
class Ring {
 public:
  Ring(size_t frame_bytes, size_t frames) : frame_(frame_bytes), size_(frames), held_(frame_bytes * frames) {}

  size_t waiting() const noexcept { return written_.load(std::memory_order_acquire) - read_.load(std::memory_order_acquire); }

  // Writes as many frames as there is room for, and returns their number.
  size_t write(const void* data, size_t frames) noexcept {
    const size_t at = written_.load(std::memory_order_relaxed), count = std::min(frames, size_ - waiting());
    move(at, count, [&](size_t place, size_t from, size_t some) {
      std::memcpy(&held_[place * frame_], static_cast<const char*>(data) + from * frame_, some * frame_);
    });
    written_.store(at + count, std::memory_order_release);
    return count;
  }

  // Reads the waiting frames, at most `most`, and returns their number. If `into` is null, they are dropped.
  size_t read(void* into, size_t most) noexcept {
    const size_t at = read_.load(std::memory_order_relaxed), count = std::min(most, waiting());
    if (into != nullptr)
      move(at, count, [&](size_t place, size_t to, size_t some) {
        std::memcpy(static_cast<char*>(into) + to * frame_, &held_[place * frame_], some * frame_);
      });
    read_.store(at + count, std::memory_order_release);
    return count;
  }

 private:
  template <typename Move>
  void move(size_t at, size_t count, const Move& part) const noexcept {
    const size_t place = at % size_, first = std::min(count, size_ - place);
    if (first > 0) part(place, 0, first);
    if (count > first) part(0, first, count - first);
  }

  size_t frame_, size_;
  std::vector<char> held_;
  std::atomic<size_t> written_{0}, read_{0};
};

// Runs a stream in a worker thread, so that an audio callback has to call only feed().
// Frames are stored one after the other.
class Live {
 public:
  // What the worker does if more than `most_frames` wait: process all of them (in larger calls, if the option catch_up
  // allows them), drop the oldest, or stop.
  enum class Behind { wait, drop, stop };

  Live(Stream& stream, int64_t most_frames, Behind behind = Behind::drop)
      : stream_(stream),
        port_(stream.manifest().inputs.front()),
        behind_(behind),
        most_(static_cast<size_t>(most_frames)),
        ring_(port_.frame_bytes(), 2 * most_ + 1),
        block_(port_.bytes() * static_cast<size_t>(stream.larger())) {}
  ~Live() { finish(); }
  Live(const Live&) = delete;
  Live& operator=(const Live&) = delete;

  // Starts the worker. After every push it calls `heard` with the stream, whose outputs can then be taken.
  void start(std::function<void(Stream&)> heard) {
    heard_ = std::move(heard);
    worker_ = std::thread([this] { work(); });
  }

  // Takes frames from an audio callback: no lock, no allocation, no exception. Returns how many found room; others are lost.
  size_t feed(const void* frames, size_t count) noexcept {
    const size_t taken = ring_.write(frames, count);
    if (taken < count) lost_.fetch_add(count - taken, std::memory_order_relaxed);
    return taken;
  }

  // Ends the stream: the worker makes the remaining calls and hands out the tail.
  void finish() {
    finished_ = true;
    if (worker_.joinable()) worker_.join();
  }

  size_t behind() const noexcept { return ring_.waiting(); }           // frames that wait
  size_t lost() const noexcept { return lost_; }                       // frames that found no room
  size_t dropped() const noexcept { return dropped_; }                 // frames that the worker dropped
  bool stopped() const noexcept { return stopped_; }                   // the worker has stopped; error() says why
  const std::string& error() const { return error_; }

 private:
  Stream& stream_;
  const Port& port_;
  Behind behind_;
  size_t most_;
  Ring ring_;
  std::vector<char> block_;
  std::function<void(Stream&)> heard_;
  std::thread worker_;
  std::string error_;
  std::atomic<size_t> lost_{0}, dropped_{0};
  std::atomic<bool> finished_{false}, stopped_{false};

  void work() {
    for (;;) {
      const bool last = finished_;
      const size_t waiting = ring_.waiting();
      if (waiting > most_ && !last && behind_ == Behind::drop) dropped_ += ring_.read(nullptr, waiting - most_);
      if (waiting > most_ && !last && behind_ == Behind::stop) return stop("the device does not keep up");
      if (const size_t some = ring_.read(block_.data(), block_.size() / port_.frame_bytes()); some > 0) {
        if (!stream_.push_rows(block_.data(), static_cast<int64_t>(some))) return stop(stream_.error());
        heard_(stream_);
      } else if (last) {
        if (!stream_.flush()) return stop(stream_.error());
        return heard_(stream_);
      } else {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
  }
  void stop(const std::string& why) {
    error_ = why;
    stopped_ = true;
  }
};

}  // namespace graphc

#endif  // GRAPHC_HPP
