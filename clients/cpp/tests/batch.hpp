// Plays a table of streams that share the calls of a batch (clients/write_batch_tables.py), and compares the outputs.

#pragma once

#include "../graphc_batch.hpp"
#include "compare.hpp"

namespace {

bool play_batch(const graphc::json::Value& table, const std::vector<char>& fed, const std::string& folder, const std::string& path) {
  graphc::Batch batch;
  if (!batch.open(folder + table["model"].text)) {
    std::printf("%s: %s\n", path.c_str(), batch.error().c_str());
    return false;
  }
  size_t at = 0;
  bool right = true;
  for (const auto& step : table["steps"].items) {
    const std::string what = step.items[0].text;
    const int place = step.items.size() > 1 ? static_cast<int>(step.items[1].integer()) : -1;
    bool done = true;
    if (what == "begin") {
      done = batch.begin() == place;
    } else if (what == "push") {
      const std::string name = step.items[2].text;
      const int64_t frames = step.items[3].integer();
      const auto& inputs = batch.manifest().inputs;
      const auto port = std::find_if(inputs.begin(), inputs.end(), [&](const graphc::Port& p) { return p.name == name; });
      done = port != inputs.end() && batch.push(place, name, fed.data() + at, frames);
      const size_t sharing = done && port->batch_axis >= 0 ? static_cast<size_t>(batch.places()) : 1;
      if (done) at += port->frame_bytes() / sharing * static_cast<size_t>(frames);
    } else if (what == "finish") {
      done = batch.finish(place);
    } else if (what == "drop") {
      done = batch.drop(place);
    } else if (what == "take") {
      const auto& outputs = table["streams"].items[static_cast<size_t>(step.items[2].integer())].items;
      done = !batch.active(place);
      for (const auto& entry : outputs) right = taken_right(batch.output(place, entry["name"].text), entry, folder, path) && right;
    } else {
      done = batch.step();
    }
    if (!done) {
      std::printf("%s: %s: %s\n", path.c_str(), what.c_str(), batch.error().c_str());
      return false;
    }
  }
  return right;
}

}  // namespace
