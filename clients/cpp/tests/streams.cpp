// Plays tables of recorded streams (clients/write_stream_tables.py, clients/write_batch_tables.py) and compares the outputs: streams TABLE...
// Prints which outputs differ, and by how much. streams --allocations MODEL counts the allocations after the first calls.

#include <new>

#include "../graphc.hpp"
#include "batch.hpp"
#include "compare.hpp"

namespace {
std::atomic<bool> counting{false};
std::atomic<int64_t> allocations{0};
}  // namespace

// Not inlined: otherwise the compiler sees malloc and free inside new and delete, and warns.
#if defined(__GNUC__)
#define GRAPHC_APART __attribute__((noinline))
#else
#define GRAPHC_APART
#endif

GRAPHC_APART void* operator new(size_t size) {
  if (counting) ++allocations;
  if (void* made = std::malloc(size ? size : 1)) return made;
  std::abort();
}
GRAPHC_APART void operator delete(void* held) noexcept { std::free(held); }
GRAPHC_APART void operator delete(void* held, size_t) noexcept { std::free(held); }

namespace {

bool play(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  std::vector<char> text, fed;
  graphc::json::Value table;
  if (!graphc::read_file(path, text) || !graphc::json::Reader(text.data(), text.data() + text.size()).read(table) ||
      !graphc::read_file(folder + table["input"].text, fed)) {
    std::printf("%s: the table or its input cannot be read\n", path.c_str());
    return false;
  }
  if (table["format"].text == "graphc.batch/1") return play_batch(table, fed, folder, path);
  graphc::Stream stream;
  graphc::Options options;
  options.reset_below = table["reset"]["below"].number;
  options.reset_after_s = table["reset"]["after_s"].number;
  options.catch_up = table["catch_up"].is_null() ? 1 : table["catch_up"].integer();
  if (!stream.open(folder + table["model"].text, options)) {
    std::printf("%s: %s\n", path.c_str(), stream.error().c_str());
    return false;
  }
  size_t at = 0;
  graphc::Stream::Snapshot held;
  for (const auto& step : table["steps"].items) {
    const std::string what = step.items[0].text;
    bool done = true;
    if (what == "push") {
      const std::string name = step.items[1].text;
      const int64_t frames = step.items[2].integer();
      const auto& inputs = stream.manifest().inputs;
      const auto port = std::find_if(inputs.begin(), inputs.end(), [&](const graphc::Port& p) { return p.name == name; });
      done = port != inputs.end() && stream.push(name, fed.data() + at, frames);
      if (done) at += port->frame_bytes() * static_cast<size_t>(frames);
    } else if (what == "snapshot") {
      held = stream.snapshot();
    } else if (what == "resume") {
      done = stream.resume(held);
    } else if (what == "reset") {
      stream.reset();
    } else {
      done = stream.flush();
    }
    if (!done) {
      std::printf("%s: %s: %s\n", path.c_str(), what.c_str(), stream.error().c_str());
      return false;
    }
  }
  bool right = true;
  for (const auto& entry : table["outputs"].items)
    right = taken_right(stream.output(entry["name"].text), entry, folder, path) && right;
  return right;
}

// onnxruntime, without counting its own allocations.
class Uncounted : public graphc::Onnxruntime {
 public:
  bool run(int turn, std::string& error) override {
    const bool before = counting.exchange(false);
    const bool done = graphc::Onnxruntime::run(turn, error);
    counting = before;
    return done;
  }
};

// Counts the allocations of a hundred calls after the first ten. All outputs are taken after each call.
int64_t allocated(const std::string& model) {
  graphc::Stream stream;
  if (!stream.open(model, std::make_unique<Uncounted>())) return -1;
  std::vector<std::vector<char>> chunks, taken;
  for (const auto& port : stream.manifest().inputs) chunks.emplace_back(port.bytes(), 0);
  for (const auto& port : stream.manifest().outputs) taken.emplace_back(4 * port.bytes(), 0);
  for (int turn = 0; turn < 110; ++turn) {
    if (turn == 10) allocations = 0, counting = true;
    for (size_t i = 0; i < chunks.size(); ++i)
      if (turn == 0 || !stream.manifest().inputs[i].fixed)
        if (!stream.push(stream.manifest().inputs[i].name, chunks[i].data(), stream.manifest().inputs[i].frames)) return -1;
    for (size_t i = 0; i < taken.size(); ++i)
      if (graphc::Output* output = stream.output(stream.manifest().outputs[i].name)) output->take(taken[i].data(), output->available());
  }
  counting = false;
  return allocations;
}

}  // namespace

int main(int count, char** words) {
  int wrong = 0;
  if (count == 3 && std::string(words[1]) == "--allocations") {
    std::printf("%lld\n", static_cast<long long>(allocated(words[2])));
    return 0;
  }
  for (int i = 1; i < count; ++i) wrong += play(words[i]) ? 0 : 1;
  std::printf("%d of %d streams are right\n", count - 1 - wrong, count - 1);
  return wrong ? 1 : 0;
}
