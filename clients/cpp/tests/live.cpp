// Tests Live with a fast and a slow device: live MODEL. Compares what the worker hands out with the outputs of one push.

#include "../graphc.hpp"

namespace {

constexpr size_t kBlock = 37, kBlocks = 400;

std::vector<char> drained(graphc::Output& output) {
  const int64_t frames = output.available();
  std::vector<char> held(static_cast<size_t>(frames) * output.frame_bytes());
  output.take(held.data(), frames);
  return held;
}

// The frames of an output one after the other, whatever the model's layout.
std::vector<char> rows(const std::vector<char>& held, const graphc::Port& port) {
  const size_t frames = held.size() / port.frame_bytes(), outer = port.outer(), inner = port.frame_bytes() / outer;
  std::vector<char> made(held.size());
  for (size_t f = 0; f < frames; ++f)
    for (size_t o = 0; o < outer; ++o) std::memcpy(&made[(f * outer + o) * inner], &held[(o * frames + f) * inner], inner);
  return made;
}

bool fail(const char* what) {
  std::printf("%s\n", what);
  return false;
}

bool all_of_it(const std::string& model, const std::vector<float>& sound) {
  graphc::Stream one, other;
  if (!one.open(model) || !other.open(model)) return fail(one.error().c_str());
  const size_t width = one.manifest().inputs.front().frame_bytes() / sizeof(float);
  if (!one.push_rows(sound.data(), kBlock * kBlocks) || !one.flush()) return fail(one.error().c_str());
  const std::vector<char> want = rows(drained(one.output()), one.output().port());
  std::vector<char> got;
  graphc::Live live(other, 4 * kBlock, graphc::Live::Behind::wait);
  live.start([&](graphc::Stream& stream) { const std::vector<char> some = rows(drained(stream.output()), stream.output().port());
    got.insert(got.end(), some.begin(), some.end());
  });
  for (size_t block = 0; block < kBlocks; ++block)
    for (size_t done = 0; done < kBlock; std::this_thread::yield())
      done += live.behind() < 4 * kBlock ? live.feed(&sound[(block * kBlock + done) * width], kBlock - done) : 0;
  live.finish();
  if (live.lost() + live.dropped() > 0 || live.stopped()) return fail("frames were lost although the feeder waits");
  return got == want || fail("the worker hands out different frames");
}

bool too_slow(const std::string& model, const std::vector<float>& sound, graphc::Live::Behind behind) {
  graphc::Stream stream;
  if (!stream.open(model)) return fail(stream.error().c_str());
  graphc::Live live(stream, 2 * kBlock, behind);
  live.start([](graphc::Stream&) { std::this_thread::sleep_for(std::chrono::milliseconds(20)); });
  for (size_t block = 0; block < 60; ++block) {
    live.feed(sound.data(), kBlock);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const bool stopped = live.stopped();
  live.finish();
  if (behind == graphc::Live::Behind::stop) return (stopped && live.error() == "the device does not keep up") || fail("it did not stop");
  return (live.dropped() > 0 && !stopped) || fail("nothing was dropped");
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) return std::printf("live MODEL\n"), 2;
  graphc::Stream first;
  if (!first.open(words[1])) return std::printf("%s\n", first.error().c_str()), 1;
  const size_t width = first.manifest().inputs.front().frame_bytes() / sizeof(float);
  std::vector<float> sound(kBlock * kBlocks * width);
  uint32_t seed = 1;
  for (float& value : sound) value = static_cast<float>((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1.0f;
  const bool right = all_of_it(words[1], sound) && too_slow(words[1], sound, graphc::Live::Behind::drop) &&
                     too_slow(words[1], sound, graphc::Live::Behind::stop);
  std::printf(right ? "right\n" : "wrong\n");
  return right ? 0 : 1;
}
