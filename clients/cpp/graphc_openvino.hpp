// Runs a model that graphc converted for OpenVINO, in a graphc::Stream. Link with OpenVINO's C++ library.
//
//   stream.open("tagger.openvino.xml", std::make_unique<graphc::OpenVino>());
//
// The manifest is read from tagger.manifest.json beside it. The states must be ports: compile without `stateful: true`.

#ifndef GRAPHC_OPENVINO_HPP
#define GRAPHC_OPENVINO_HPP

#include <openvino/openvino.hpp>
#include <stdexcept>

#include "graphc.hpp"

namespace graphc {

class OpenVino : public Backend {
 public:
  bool open(const std::string& path, int threads, std::string& manifest, std::string& error) override {
    return manifest_beside(path, ".openvino.xml", manifest, error) && tried(error, [&] {
      const ov::AnyMap settings{{"INFERENCE_NUM_THREADS", threads}, {"NUM_STREAMS", 1}, {"INFERENCE_PRECISION_HINT", "f32"}};
      model_ = core_.compile_model(path, "CPU", settings);
      for (ov::InferRequest& request : requests_) request = model_.create_infer_request();
      if (!requests_[0].query_state().empty())
        throw std::runtime_error("the model keeps its own states; compile it without `stateful: true`");
    });
  }

  bool bind(int turn, const std::vector<Bound>& inputs, const std::vector<Bound>& outputs, std::string& error) override {
    return has_one_size(turn, error) && tried(error, [&] {
      for (const Bound& port : inputs)
        if (taken(port.name)) set(turn, port);
      for (const Bound& port : outputs) set(turn, port);
    });
  }

  bool run(int turn, std::string& error) override {
    return tried(error, [&] { requests_[turn].infer(); });
  }

 private:
  ov::Core core_;
  ov::CompiledModel model_;
  ov::InferRequest requests_[2];  // the calls of a converted model have one size

  // OpenVINO has no port for an input that the model does not use.
  bool taken(const char* name) const {
    for (const auto& port : model_.inputs())
      if (port.get_names().count(name) > 0) return true;
    return false;
  }
  void set(int turn, const Bound& port) {
    requests_[turn].set_tensor(port.name, ov::Tensor(type_of(*port.type), ov::Shape(port.shape->begin(), port.shape->end()), port.data));
  }
  static ov::element::Type type_of(const Type& type) {
    static const std::map<std::string, ov::element::Type> types = {
        {"float32", ov::element::f32}, {"float64", ov::element::f64}, {"float16", ov::element::f16},
        {"bfloat16", ov::element::bf16}, {"bool", ov::element::boolean}, {"int8", ov::element::i8},
        {"int16", ov::element::i16}, {"int32", ov::element::i32}, {"int64", ov::element::i64},
        {"uint8", ov::element::u8}, {"uint16", ov::element::u16}, {"uint32", ov::element::u32}, {"uint64", ov::element::u64}};
    return types.at(type.name);
  }
  template <typename Body>
  static bool tried(std::string& error, const Body& body) {
    try {
      body();
      return true;
    } catch (const std::exception& caught) {
      error = std::string("OpenVINO: ") + caught.what();
      return false;
    }
  }
};

}  // namespace graphc

#endif  // GRAPHC_OPENVINO_HPP
