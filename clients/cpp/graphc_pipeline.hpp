// What the headers of pipelines share: reading the folder that `graphc compile PIPELINE.yaml` wrote.

#ifndef GRAPHC_PIPELINE_HPP
#define GRAPHC_PIPELINE_HPP

#include "graphc.hpp"

namespace graphc {

struct PipelineFolder {
  std::string path;   // with a slash at its end
  std::string model;  // the file of the joined model
  json::Value manifest;

  std::string name() const { return model.substr(0, model.rfind('.')); }
  const json::Value& decoder() const { return manifest["decoder"]; }

  bool read(const std::string& folder, std::string& error) {
    std::vector<char> text;
    path = folder.empty() || folder.back() == '/' ? folder : folder + "/";
    if (!read_file(path + "pipeline.manifest.json", text))
      return error = path + "pipeline.manifest.json: the manifest of the pipeline cannot be read; "
                            "compile it: graphc compile PIPELINE.yaml", false;
    if (!json::Reader(text.data(), text.data() + text.size()).read(manifest) || manifest["format"].text != "graphc.pipeline/1")
      return error = path + "pipeline.manifest.json: not the manifest of a pipeline", false;
    model = manifest["model"].text;
    return stays_inside(model) || (error = path + "pipeline.manifest.json: `model` must be the name of a file beside it", false);
  }

  static bool stays_inside(const std::string& file) { return !file.empty() && file.find_first_of("/\\:") == std::string::npos; }
};

// A whole number of at least `least` and at most `most`.
inline bool whole(const json::Value& value, int64_t least, int64_t most, int64_t& number) {
  if (value.kind != json::Value::Kind::number || !(value.number >= static_cast<double>(least) && value.number <= static_cast<double>(most)))
    return false;
  number = value.integer();
  return static_cast<double>(number) == value.number;
}

}  // namespace graphc

#endif  // GRAPHC_PIPELINE_HPP
