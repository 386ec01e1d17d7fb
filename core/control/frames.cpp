#include "core/control/frames.h"

#include <algorithm>
#include <cstring>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

constexpr std::string_view kMagic = "cuclip control channel";
constexpr size_t kLongestReason = 16 << 10;

}  // namespace

FrameWriter& FrameWriter::add(int64_t value) {
  body_.append(reinterpret_cast<const char*>(&value), sizeof value);
  return *this;
}

FrameWriter& FrameWriter::add(std::string_view text) {
  add(static_cast<int64_t>(text.size()));
  body_.append(text);
  return *this;
}

int64_t FrameReader::integer() {
  int64_t value = 0;
  if (rest_.size() < sizeof value) fail("a message of the control channel is cut off");
  std::memcpy(&value, rest_.data(), sizeof value);
  rest_.remove_prefix(sizeof value);
  return value;
}

std::string FrameReader::text() {
  const int64_t bytes = integer();
  if (bytes < 0 || static_cast<uint64_t>(bytes) > rest_.size()) {
    fail("a message of the control channel is cut off");
  }
  const std::string text(rest_.substr(0, static_cast<size_t>(bytes)));
  rest_.remove_prefix(text.size());
  return text;
}

Frame to_frame(FrameKind kind, const Hello& hello) {
  FrameWriter writer;
  writer.add(kMagic).add(hello.version).add(hello.run_id).add(hello.rank).add(hello.size);
  writer.add(hello.host).add(hello.process);
  return {kind, writer.take()};
}

Hello read_hello(std::string_view body) {
  FrameReader reader(body);
  if (reader.text() != kMagic) fail("this is no rank of cuclip's");
  Hello hello;
  hello.version = reader.text();
  hello.run_id = reader.text();
  hello.rank = static_cast<int>(reader.integer());
  hello.size = static_cast<int>(reader.integer());
  hello.host = reader.text();
  hello.process = static_cast<int>(reader.integer());
  return hello;
}

Frame to_frame(const Progress& progress) {
  return {FrameKind::heartbeat, FrameWriter().add(progress.step).add(progress.operation).take()};
}

Progress read_progress(std::string_view body) {
  FrameReader reader(body);
  Progress progress;
  progress.step = reader.integer();
  progress.operation = reader.text();
  return progress;
}

std::string describe(const Hello& who) {
  return fmt::format("rank {} ({}, process {})", who.rank, who.host, who.process);
}

std::string describe(const Hello& who, const Progress& progress) {
  const std::string step =
      progress.step < 0 ? std::string("before the first step") : fmt::format("at step {}", progress.step);
  return fmt::format("{} {} ({})", describe(who), step, progress.operation);
}

Frame to_frame(const Ending& ending) {
  const std::string_view reason = std::string_view(ending.reason).substr(0, kLongestReason);
  return {FrameKind::end, FrameWriter().add(reason).add(ending.exit_code).take()};
}

Ending read_ending(std::string_view body) {
  FrameReader reader(body);
  Ending ending;
  ending.reason = reader.text();
  ending.exit_code = static_cast<int>(std::clamp<int64_t>(reader.integer(), 1, 255));
  return ending;
}

}  // namespace cuclip
