// Runs many streams in one call, each of which begins and ends at its own time, for models compiled with
// `stream: {batch: N, clocks: own}`. Needs graphc.hpp beside it.
//
//   graphc::Batch batch;
//   if (!batch.open("server.onnx")) return fail(batch.error());
//   const int one = batch.begin();                       // a place of the batch, or -1 if all are taken
//   batch.push(one, frames, count);                      // any number of frames of one stream
//   batch.step();                                        // one call for all streams that have a chunk, or a tail, left
//   drain(batch.output(one));                            // available() frames are ready; take() copies them
//   batch.finish(one);                                   // the next steps give the tail; then active(one) is false
//   batch.drop(one);                                     // or frees the place at once, without a tail
//
// A stream gives what it would give alone. A stream that takes no part in a call keeps its states.

#pragma once

#include "graphc.hpp"

namespace graphc {

class Batch {
 public:
#ifndef GRAPHC_WITHOUT_ONNXRUNTIME
  bool open(const std::string& path, int threads = 1) { return open(path, std::make_unique<Onnxruntime>(), threads); }
#endif

  bool open(const std::string& path, std::unique_ptr<Backend> backend, int threads = 1) {
    opened_ = false;
    slots_.clear();
    Options options;
    options.threads = threads;
    if (!calls_.open(path, std::move(backend), options, error_)) return false;
    const Manifest& manifest = calls_.manifest;
    if (!manifest.own_clocks || manifest.any_size)
      return error_ = "its calls are of any size, or its streams share a clock and begin together; "
                      "compile it with a chunk and `stream: {batch: N, clocks: own}`, or use graphc::Stream", false;
    for (const Port& port : manifest.inputs)
      if (!port.fixed && port.batch_axis < 0) return error_ = "'" + port.name + "' has no axis for the batch", false;
    for (const std::vector<Port>* side : {&manifest.inputs, &manifest.outputs})
      for (const Port& port : *side)
        if (port.batch_axis >= 0 && port.batch_axis == port.axis)
          return error_ = "the batch and the frames of '" + port.name + "' share one axis", false;
    inputs_.clear(), outputs_.clear();
    for (const Port& port : manifest.inputs) inputs_.push_back(of_one(port));
    for (const Port& port : manifest.outputs) outputs_.push_back(of_one(port));
    size_t most = 0;
    for (const Port& port : outputs_) most = std::max(most, port.bytes());
    row_ = Memory(most);
    slots_ = std::vector<Slot>(static_cast<size_t>(manifest.streams));
    for (Slot& slot : slots_) {
      for (const Port& port : inputs_) slot.memory.emplace_back(port.bytes());
      if (!slot.lay_out(manifest, inputs_, outputs_, slot.memory, 1, error_)) return slots_.clear(), false;
    }
    calls_.begin();
    return opened_ = true;
  }

  const std::string& error() const { return error_; }
  const Manifest& manifest() const { return calls_.manifest; }
  int places() const { return static_cast<int>(slots_.size()); }
  bool active(int place) const { return in_range(place) && at(place).open; }

  // Begins a stream. Returns its place, or -1 if all are taken. Discards the outputs that the place's last stream left.
  int begin() {
    if (!opened_) return error_ = "no model is open", -1;
    for (size_t number = 0; number < slots_.size(); ++number) {
      Slot& slot = slots_[number];
      if (slot.open) continue;
      slot.open = true, slot.finished = false, slot.fed = 0;
      for (Input& input : slot.inputs) input.frames.clear(), input.pushed = 0, input.set = false;
      slot.clear_outputs();
      for (size_t i = 0; i < calls_.manifest.states.size(); ++i)
        move_rows(calls_.first[i].data(), calls_.states()[i].data(), calls_.manifest.states[i], number);
      return static_cast<int>(number);
    }
    return error_ = "all " + std::to_string(slots_.size()) + " streams of the batch are in use; "
                    "finish a stream, or compile a larger batch", -1;
  }

  // Takes frames of a stream's first input, in the layout of the offline model for one stream.
  bool push(int place, const void* data, int64_t frames) {
    return takes_more(place) && feed(at(place), at(place).inputs.front(), data, frames);
  }

  // The same for an input by name. A static input has one frame: its value.
  bool push(int place, const std::string& name, const void* data, int64_t frames = 1) {
    if (!takes_more(place)) return false;
    for (Input& input : at(place).inputs)
      if (input.port->name == name) return feed(at(place), input, data, frames);
    return error_ = "'" + name + "' is not an input of the model", false;
  }

  // Says that no more frames of a stream will come. The steps that follow give its tail and free its place.
  bool finish(int place) {
    if (!takes_more(place) || !at(place).may_end(error_)) return false;
    if (const Input* input = at(place).missing())
      return error_ = "the static input '" + input->port->name + "' was not given; push it, or drop() the stream", false;
    at(place).finished = true;
    close(at(place));
    return true;
  }

  // Frees the place of a stream at once, without its tail.
  bool drop(int place) {
    if (!active(place)) return error_ = "there is no stream " + std::to_string(place), false;
    at(place).open = false;
    return true;
  }

  // Whether a step would make a call.
  bool ready() const {
    return std::any_of(slots_.begin(), slots_.end(), [](const Slot& s) { return s.takes_part(); });
  }

  // Makes one call for all streams that have a chunk, or a tail, left; no call if there are none. If it fails, every stream
  // still has its frames: drop() the one that is at fault, and step again.
  bool step() {
    if (!opened_) return error_ = "no model is open", false;
    if (!ready()) return true;
    for (Slot& slot : slots_) slot.taking = slot.takes_part();
    if (!statics_fit()) return false;
    gather();
    if (!calls_.run(1, error_)) {
      for (Slot& slot : slots_)
        if (slot.taking) slot.give_back();
      return false;
    }
    keep_states();
    for (size_t number = 0; number < slots_.size(); ++number) {
      Slot& slot = slots_[number];
      if (!slot.taking) continue;
      slot.fed += calls_.manifest.chunk;
      for (size_t i = 0; i < outputs_.size(); ++i) {
        const Port& whole = calls_.manifest.outputs[i];
        const char* all = calls_.outputs[i].data();
        if (whole.batch_axis >= 0)
          each_part(whole, number, [&](size_t place, size_t at, size_t bytes) { std::memcpy(row_.data() + at, all + place, bytes); });
        slot.collect(slot.outputs[i], whole.batch_axis >= 0 ? row_.data() : all, outputs_[i].frames);
      }
      close(slot);
    }
    return true;
  }

  Output& output(int place) { return in_range(place) ? at(place).outputs.front() : none_; }
  Output* output(int place, const std::string& name) { return in_range(place) ? at(place).output_named(name) : nullptr; }

 private:
  // One place of the batch: a stream, or none.
  struct Slot : StreamBuffer {
    std::vector<Memory> memory;
    bool open = false, finished = false, taking = false;

    bool takes_part() const {
      return open && missing() == nullptr && (finished ? lacking(total_frames()) : StreamBuffer::ready(1));
    }
  };

  Calls calls_;
  std::vector<Port> inputs_, outputs_;  // the shapes for one stream
  std::vector<Slot> slots_;
  Memory row_;
  Output none_;  // what output() returns for a place that does not exist
  std::string error_;
  bool opened_ = false;

  bool in_range(int place) const { return place >= 0 && static_cast<size_t>(place) < slots_.size(); }
  Slot& at(int place) { return slots_[static_cast<size_t>(place)]; }
  const Slot& at(int place) const { return slots_[static_cast<size_t>(place)]; }

  bool takes_more(int place) {
    if (!active(place)) return error_ = "there is no stream " + std::to_string(place) + "; begin() begins one", false;
    if (at(place).finished) return error_ = "stream " + std::to_string(place) + " has been finished", false;
    return true;
  }

  bool feed(Slot& slot, Input& input, const void* data, int64_t frames) {
    if (!slot.takes(input, data, frames, error_)) return false;
    if (!input.port->fixed) input.frames.put(static_cast<const char*>(data), 0, frames, frames);
    return true;
  }

  // Frees the place of a stream that is finished and complete.
  static void close(Slot& slot) {
    if (!slot.finished) return;
    slot.all_seen(slot.total_frames());
    if (!slot.lacking(slot.total_frames())) slot.open = false;
  }

  Port of_one(const Port& port) const {
    Port one = port;
    if (port.batch_axis >= 0) one.shape[static_cast<size_t>(port.batch_axis)] /= calls_.manifest.streams;
    return one;
  }

  // Whether the streams of a call agree on the static inputs that they share. If not, the call takes no frames.
  bool statics_fit() {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (!inputs_[i].fixed || inputs_[i].batch_axis >= 0) continue;
      const Memory* given = nullptr;
      for (const Slot& slot : slots_) {
        if (!slot.taking) continue;
        const Memory& own = *slot.inputs[i].memory;
        if (given != nullptr && std::memcmp(given->data(), own.data(), own.bytes()) != 0)
          return error_ = "all streams share the static input '" + inputs_[i].name + "', and its values differ; "
                          "give it an axis for the batch in the model, or run such streams in separate batches", false;
        given = &own;
      }
    }
    return true;
  }

  // Fills the inputs of a call, with zeros in the rows of streams that take no part.
  void gather() {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const Port& whole = calls_.manifest.inputs[i];
      Memory& into = calls_.inputs[i];
      std::memset(into.data(), 0, into.bytes());
      for (size_t number = 0; number < slots_.size(); ++number) {
        Slot& slot = slots_[number];
        if (!slot.taking) continue;
        Memory& row = *slot.inputs[i].memory;
        if (!whole.fixed) StreamBuffer::fill(slot.inputs[i], row, inputs_[i].frames);
        if (whole.batch_axis < 0) std::memcpy(into.data(), row.data(), into.bytes());
        else each_part(whole, number, [&](size_t place, size_t at, size_t bytes) { std::memcpy(into.data() + place, row.data() + at, bytes); });
      }
    }
    for (size_t number = 0; number < slots_.size(); ++number) {
      const Slot& slot = slots_[number];
      const int64_t left = slot.finished ? std::max<int64_t>(slot.total_frames() - slot.fed, 0) : calls_.manifest.chunk;
      calls_.valid(static_cast<int64_t>(number), slot.taking ? std::min(left, calls_.manifest.chunk) : 0);
    }
  }

  // Keeps the old states of the streams that took no part in a call. Copies the rows of whichever streams are fewer.
  void keep_states() {
    const std::vector<State>& states = calls_.manifest.states;
    const auto taking = std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return s.taking; });
    const bool apart = std::all_of(states.begin(), states.end(), [](const State& s) { return s.batch_axis >= 0; });
    const bool into_earlier = apart && 2 * taking < static_cast<int64_t>(slots_.size());
    if (into_earlier) calls_.go_back();
    for (size_t number = 0; number < slots_.size(); ++number) {
      if (slots_[number].taking != into_earlier) continue;
      for (size_t i = 0; i < states.size(); ++i)
        move_rows(calls_.earlier()[i].data(), calls_.states()[i].data(), states[i], number);
    }
  }

  // Calls `part` with each part of an array that belongs to one stream: its offset in the array, its offset in the row of
  // that stream, and its size, in bytes.
  template <typename Sized, typename Part>
  void each_part(const Sized& whole, size_t number, const Part& part) const {
    size_t count = 1;
    for (int a = 0; a < whole.batch_axis; ++a) count *= static_cast<size_t>(whole.shape[static_cast<size_t>(a)]);
    const size_t bytes = count == 0 ? 0 : whole.count() * whole.type->bytes / (count * slots_.size());
    for (size_t i = 0; i < count; ++i) part((i * slots_.size() + number) * bytes, i * bytes, bytes);
  }
  void move_rows(const char* from, char* to, const State& state, size_t number) const {
    if (state.batch_axis < 0) return;
    each_part(state, number, [&](size_t place, size_t, size_t bytes) { std::memcpy(to + place, from + place, bytes); });
  }
};

}  // namespace graphc
