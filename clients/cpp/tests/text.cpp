// Streams frames through a pipeline that ends in text, in pieces of the sizes given: text FOLDER FRAMES SIZE...
// Prints every transcript: seconds, whether it is final, tokens, text. FRAMES holds raw frames, one after the other.

#include "../graphc_text.hpp"

int main(int count, char** words) {
  if (count < 4) return std::printf("text FOLDER FRAMES SIZE...\n"), 2;
  graphc::TextPipeline pipeline;
  std::vector<char> frames;
  if (!pipeline.open(words[1])) return std::printf("%s\n", pipeline.error().c_str()), 1;
  if (!graphc::read_file(words[2], frames)) return std::printf("%s: it cannot be read\n", words[2]), 1;
  const auto heard = [](const graphc::Transcript& said) {
    std::printf("%.6f %s", said.seconds, said.final ? "final" : "so far");
    for (int64_t token : said.tokens) std::printf(" %lld", static_cast<long long>(token));
    std::printf(" [%s]\n", said.text.c_str());
  };
  const size_t width = pipeline.stream().manifest().inputs.front().frame_bytes();
  const char* at = frames.data();
  for (int i = 3; i < count; ++i) {
    const long size = std::atol(words[i]);
    if (!pipeline.push(at, size, heard)) return std::printf("%s\n", pipeline.error().c_str()), 1;
    at += static_cast<size_t>(size) * width;
  }
  if (!pipeline.flush(heard)) return std::printf("%s\n", pipeline.error().c_str()), 1;
  return 0;
}
