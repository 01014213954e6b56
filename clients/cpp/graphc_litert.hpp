// Runs a model that graphc converted for LiteRT, in a graphc::Stream. Link with LiteRT's shared library (2.2 or newer), for
// example libLiteRt.so of the Python package ai-edge-litert; its headers are not needed.
//
//   stream.open("tagger.litert.tflite", std::make_unique<graphc::LiteRt>());
//
// The manifest is read from tagger.manifest.json beside it.

#ifndef GRAPHC_LITERT_HPP
#define GRAPHC_LITERT_HPP

#include "graphc.hpp"

#ifndef ODML_LITERT_LITERT_C_LITERT_COMMON_H_

// The part of LiteRT's C API that is used here (https://github.com/google-ai-edge/LiteRT, litert/c). All functions but those
// that destroy return a status; 0: done.
extern "C" {
struct LiteRtRankedTensorType {
  int element;
  unsigned rank_and_strides;
  int32_t dimensions[8];
  uint32_t strides[8];
};
int LiteRtCreateEnvironment(int count, const void* options, void** environment);
int LiteRtCreateOptions(void** options);
int LiteRtSetOptionsHardwareAccelerators(void* options, int accelerators);
int LiteRtCreateOpaqueOptions(const char* name, void* payload, void (*destroy)(void*), void** options);
int LiteRtAddOpaqueOptions(void* options, void* opaque);
int LiteRtCreateModelFromFile(void* environment, const char* path, void** model);
int LiteRtCreateCompiledModel(void* environment, void* model, void* options, void** compiled);
int LiteRtGetModelSignature(void* model, size_t index, void** signature);
int LiteRtGetNumSignatureInputs(void* signature, size_t* count);
int LiteRtGetNumSignatureOutputs(void* signature, size_t* count);
int LiteRtGetSignatureInputName(void* signature, size_t index, const char** name);
int LiteRtGetSignatureOutputName(void* signature, size_t index, const char** name);
int LiteRtGetSignatureInputTensorByIndex(void* signature, size_t index, void** tensor);
int LiteRtGetSignatureOutputTensorByIndex(void* signature, size_t index, void** tensor);
int LiteRtGetRankedTensorType(void* tensor, LiteRtRankedTensorType* type);
int LiteRtCreateTensorBufferFromHostMemory(const LiteRtRankedTensorType* type, void* data, size_t bytes, void (*destroy)(void*),
                                           void** buffer);
int LiteRtRunCompiledModel(void* compiled, size_t signature, size_t inputs, void** in, size_t outputs, void** out);
void LiteRtDestroyTensorBuffer(void* buffer);
void LiteRtDestroyCompiledModel(void* compiled);
void LiteRtDestroyModel(void* model);
void LiteRtDestroyOptions(void* options);
void LiteRtDestroyEnvironment(void* environment);
}

#endif

namespace graphc {

class LiteRt : public Backend {
 public:
  LiteRt() = default;
  LiteRt(const LiteRt&) = delete;
  LiteRt& operator=(const LiteRt&) = delete;

  ~LiteRt() override {
    for (Turn& turn : turns_)
      for (std::vector<void*>* side : {&turn.inputs, &turn.outputs})
        for (void* buffer : *side)
          if (buffer != nullptr) LiteRtDestroyTensorBuffer(buffer);
    if (compiled_ != nullptr) LiteRtDestroyCompiledModel(compiled_);
    if (model_ != nullptr) LiteRtDestroyModel(model_);
    if (options_ != nullptr) LiteRtDestroyOptions(options_);
    if (environment_ != nullptr) LiteRtDestroyEnvironment(environment_);
  }

  bool open(const std::string& path, int threads, std::string& manifest, std::string& error) override {
    if (!manifest_beside(path, ".litert.tflite", manifest, error)) return false;
    if (!read_layouts(manifest)) return error = path + ": its manifest does not name the ports of the file", false;
    return done(LiteRtCreateEnvironment(0, nullptr, &environment_), "no environment can be created", error) &&
           options(threads, error) &&
           done(LiteRtCreateModelFromFile(environment_, path.c_str(), &model_), path + ": the file cannot be read", error) &&
           done(LiteRtCreateCompiledModel(environment_, model_, options_, &compiled_), path + ": LiteRT does not take the model", error) &&
           done(LiteRtGetModelSignature(model_, 0, &signature_), path + ": the model has no signature", error);
  }

  bool bind(int turn, const std::vector<Bound>& inputs, const std::vector<Bound>& outputs, std::string& error) override {
    if (!has_one_size(turn, error)) return false;
    Turn& made = turns_[turn];
    size_t taken = 0, given = 0;
    if (!done(LiteRtGetNumSignatureInputs(signature_, &taken), "the model's inputs cannot be counted", error) ||
        !done(LiteRtGetNumSignatureOutputs(signature_, &given), "the model's outputs cannot be counted", error))
      return false;
    if (taken > inputs.size() || given != outputs.size()) return error = "the ports of LiteRT's file are not those of the manifest; copy both from one compilation", false;
    made.inputs.assign(taken, nullptr), made.outputs.assign(given, nullptr);
    for (size_t i = 0; i < taken; ++i)
      if (!attach(made, true, i, inputs, error)) return false;
    for (size_t i = 0; i < given; ++i)
      if (!attach(made, false, i, outputs, error)) return false;
    return true;
  }

  bool run(int turn, std::string& error) override {
    Turn& now = turns_[turn];
    for (const Move& move : now.before) move.copy();
    const int status =
        LiteRtRunCompiledModel(compiled_, 0, now.inputs.size(), now.inputs.data(), now.outputs.size(), now.outputs.data());
    if (!done(status, "the call failed", error)) return false;
    for (const Move& move : now.after) move.copy();
    return true;
  }

 private:
  static constexpr int kTurns = 2, kCpu = 1;

  // A port of the file: axis a of its value is axis order[a] of the ONNX model's.
  struct Layout {
    std::string name;
    std::vector<size_t> order;
    bool as_it_is = true;  // false: the value must be copied into the file's order of axes
  };

  // Copies a value between the model's order of axes and the file's: element i of the file is element places[i] of the model.
  struct Move {
    char *model, *file;
    size_t bytes;
    std::vector<size_t> places;
    bool to_file;
    void copy() const {
      for (size_t i = 0; i < places.size(); ++i) {
        char *of_file = file + i * bytes, *of_model = model + places[i] * bytes;
        std::memcpy(to_file ? of_file : of_model, to_file ? of_model : of_file, bytes);
      }
    }
  };

  struct Turn {
    std::vector<void*> inputs, outputs;
    std::vector<Move> before, after;
    std::vector<Memory> moved;
  };

  void *environment_ = nullptr, *options_ = nullptr, *model_ = nullptr, *compiled_ = nullptr, *signature_ = nullptr;
  std::map<std::string, Layout> layouts_;
  Turn turns_[kTurns];

  static bool done(int status, const std::string& what, std::string& error) {
    if (status == 0) return true;
    error = what + " (LiteRT's status " + std::to_string(status) + ")";
    return false;
  }

  // Selects the CPU and sets the number of threads, which LiteRT reads from TOML.
  bool options(int threads, std::string& error) {
    if (!done(LiteRtCreateOptions(&options_), "no options can be created", error) ||
        !done(LiteRtSetOptionsHardwareAccelerators(options_, kCpu), "LiteRT has no CPU kernels", error))
      return false;
    const std::string text = "num_threads = " + std::to_string(threads) + "\n";
    char* payload = static_cast<char*>(std::malloc(text.size() + 1));
    if (payload == nullptr) return error = "no memory", false;
    std::memcpy(payload, text.c_str(), text.size() + 1);
    void* cpu = nullptr;
    if (!done(LiteRtCreateOpaqueOptions("xnnpack", payload, std::free, &cpu), "the number of threads cannot be set", error))
      return std::free(payload), false;
    return done(LiteRtAddOpaqueOptions(options_, cpu), "the number of threads cannot be set", error);
  }

  // A state keeps the order of the file from call to call. It is copied only if its first value comes from a file of its own;
  // one repeated number is the same in any order.
  bool read_layouts(const std::string& text) {
    json::Value root;
    if (!json::Reader(text.data(), text.data() + text.size()).read(root)) return false;
    const json::Value& ports = root["targets"]["litert"]["ports"];
    for (const auto& [name, port] : ports.fields) {
      Layout made;
      made.name = port["name"].text;
      const json::Value& order = port["permutation"];
      if (!order.is_null() && order.kind != json::Value::Kind::list) return false;
      for (const json::Value& axis : order.items) made.order.push_back(static_cast<size_t>(axis.integer()));
      made.as_it_is = made.order.empty();
      layouts_[name] = made;
    }
    for (const json::Value& state : root["states"].items)
      if (state["init"]["file"].text.empty())
        for (const char* side : {"input", "output"}) layouts_[state[side].text].as_it_is = true;
    return !ports.fields.empty();
  }

  // Binds one port of the signature to the memory of the value that has its name.
  bool attach(Turn& turn, bool input, size_t index, const std::vector<Bound>& ports, std::string& error) {
    const char* name = "";
    void* tensor = nullptr;
    LiteRtRankedTensorType type{};
    if (!done((input ? LiteRtGetSignatureInputName : LiteRtGetSignatureOutputName)(signature_, index, &name), "a port has no name", error) ||
        !done((input ? LiteRtGetSignatureInputTensorByIndex : LiteRtGetSignatureOutputTensorByIndex)(signature_, index, &tensor),
              std::string(name) + ": the port has no tensor", error) ||
        !done(LiteRtGetRankedTensorType(tensor, &type), std::string(name) + ": the port has no shape", error))
      return false;
    for (const Bound& port : ports) {
      const auto known = layouts_.find(port.name);
      if (known == layouts_.end() || known->second.name != name) continue;
      if (!fits(type, *port.type, *port.shape, known->second.order))
        return error = std::string(port.name) + ": LiteRT's file has another shape or dtype than the manifest; "
                                                "copy both from one compilation", false;
      char* data = port.data;
      if (!known->second.as_it_is && !move(turn, input, port, known->second.order, data))
        return error = std::string(port.name) + ": the manifest's permutation is not valid", false;
      return done(LiteRtCreateTensorBufferFromHostMemory(&type, data, port.bytes, nullptr, &(input ? turn.inputs : turn.outputs)[index]),
                  std::string(port.name) + ": LiteRT does not take its memory", error);
    }
    return error = std::string("the manifest does not name the port ") + name + " of LiteRT's file", false;
  }

  // Whether a port of the file has the dtype and, in its order of axes, the shape of a value.
  static bool fits(const LiteRtRankedTensorType& type, const Type& value, const std::vector<int64_t>& shape, const std::vector<size_t>& order) {
    static const std::map<std::string, int> elements = {{"float32", 1}, {"int32", 2}, {"uint8", 3}, {"int64", 4}, {"bool", 6},
                                                        {"int16", 7}, {"int8", 9}, {"float16", 10}, {"float64", 11},
                                                        {"uint64", 13}, {"uint32", 16}, {"uint16", 17}, {"bfloat16", 19}};
    const auto element = elements.find(value.name);
    const size_t rank = type.rank_and_strides & 0x7F;
    if (element == elements.end() || element->second != type.element || rank != shape.size() || rank > 8) return false;
    for (size_t axis = 0; axis < rank; ++axis) {
      const size_t from = order.empty() ? axis : axis < order.size() ? order[axis] : rank;
      if (from < rank && type.dimensions[axis] != shape[from]) return false;
    }
    return true;
  }

  // Gives a port memory of its own, in the order of the file, and plans the copy.
  static bool move(Turn& turn, bool input, const Bound& port, const std::vector<size_t>& order, char*& data) {
    const std::vector<int64_t>& shape = *port.shape;
    std::vector<size_t> steps(shape.size(), 1), sizes, strides;
    std::vector<bool> seen(shape.size(), false);
    if (order.size() != shape.size()) return false;
    for (size_t axis = shape.size(); axis-- > 1;) steps[axis - 1] = steps[axis] * static_cast<size_t>(shape[axis]);
    for (size_t axis : order) {
      if (axis >= shape.size() || seen[axis]) return false;
      seen[axis] = true;
      sizes.push_back(static_cast<size_t>(shape[axis])), strides.push_back(steps[axis]);
    }
    std::vector<size_t> places(port.bytes / port.type->bytes, 0);
    for (size_t i = 0; i < places.size(); ++i) {
      size_t rest = i;
      for (size_t axis = sizes.size(); axis-- > 0; rest /= sizes[axis]) places[i] += rest % sizes[axis] * strides[axis];
    }
    turn.moved.emplace_back(port.bytes);
    data = turn.moved.back().data();
    (input ? turn.before : turn.after).push_back({port.data, data, port.type->bytes, std::move(places), input});
    return true;
  }
};

}  // namespace graphc

#endif  // GRAPHC_LITERT_HPP
