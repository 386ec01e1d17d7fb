#include "core/control/agreement.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <vector>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

constexpr size_t kLongestText = 64 << 10, kLongestLine = 160, kMostValues = 6;

/// FNV-1a, whose offset and prime these are.
int64_t hash_of(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return static_cast<int64_t>(hash);
}

std::string_view line_of(std::string_view text, size_t number) {
  for (; number > 0; --number) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

/// The number of the first line that is not the same in all texts; none where only an end of line differs.
std::optional<size_t> first_difference(std::span<const Contribution> by_rank) {
  size_t most = 0;
  for (const Contribution& c : by_rank) {
    most = std::max(most, static_cast<size_t>(std::count(c.text.begin(), c.text.end(), '\n')));
  }
  for (size_t line = 0; line <= most; ++line) {
    const auto expected = line_of(by_rank[0].text, line);
    const auto same = [&](const Contribution& c) { return line_of(c.text, line) == expected; };
    if (!std::all_of(by_rank.begin(), by_rank.end(), same)) return line;
  }
  return std::nullopt;
}

bool same_value(const Contribution& a, const Contribution& b) {
  return a.value == b.value && a.bytes == b.bytes;
}

/// What a rank has, for a message: one line of it, or else how much it is.
std::string quote(const Contribution& c, std::optional<size_t> line) {
  if (line) return fmt::format("\"{}\"", line_of(c.text, *line).substr(0, kLongestLine));
  return fmt::format("{} bytes with the hash {:016x}", c.bytes, static_cast<uint64_t>(c.value));
}

std::string explain_difference(std::span<const Contribution> by_rank) {
  const bool whole = std::all_of(by_rank.begin(), by_rank.end(), [](const Contribution& c) {
    return static_cast<size_t>(c.bytes) == c.text.size();
  });
  const auto line = whole ? first_difference(by_rank) : std::nullopt;
  std::map<std::string, std::vector<int>> ranks_by_value;
  std::vector<std::string> values;  // in the order of the ranks
  for (size_t rank = 0; rank < by_rank.size(); ++rank) {
    const std::string value = quote(by_rank[rank], line);
    if (!ranks_by_value.contains(value)) values.push_back(value);
    ranks_by_value[value].push_back(static_cast<int>(rank));
  }
  std::vector<std::string> parts;
  for (const std::string& value : values) {
    if (parts.size() == kMostValues) {
      parts.push_back(fmt::format("and {} other values", values.size() - kMostValues));
      break;
    }
    const auto& ranks = ranks_by_value[value];
    parts.push_back(fmt::format("{} {} {}", name_ranks(ranks), ranks.size() == 1 ? "has" : "have", value));
  }
  return fmt::format("{} must be the same on all ranks: {}", by_rank[0].name, fmt::join(parts, ", "));
}

}  // namespace

Contribution contribute_same(std::string_view name, std::string_view value) {
  Contribution c{.kind = AgreementKind::same, .name = std::string(name)};
  c.value = hash_of(value);
  c.bytes = std::ssize(value);
  if (value.size() <= kLongestText) c.text = value;
  return c;
}

Contribution contribute_maximum(std::string_view name, int64_t value) {
  Contribution c{.kind = AgreementKind::maximum, .name = std::string(name)};
  c.value = value;
  return c;
}

Frame to_frame(const Contribution& c) {
  FrameWriter writer;
  writer.add(static_cast<int64_t>(c.kind)).add(c.name).add(c.value).add(c.bytes).add(c.text);
  writer.add(c.progress.step).add(c.progress.operation);
  return {FrameKind::contribution, writer.take()};
}

Contribution read_contribution(std::string_view body) {
  FrameReader reader(body);
  Contribution c;
  c.kind = static_cast<AgreementKind>(reader.integer());
  c.name = reader.text();
  c.value = reader.integer();
  c.bytes = reader.integer();
  c.text = reader.text();
  c.progress.step = reader.integer();
  c.progress.operation = reader.text();
  return c;
}

Frame to_frame(const Agreed& agreed) {
  FrameWriter writer;
  writer.add(static_cast<int64_t>(agreed.outcome)).add(agreed.value).add(agreed.problem);
  writer.add(int64_t{agreed.last}).add(agreed.progress.step).add(agreed.progress.operation);
  return {FrameKind::result, writer.take()};
}

Agreed read_agreed(std::string_view body) {
  FrameReader reader(body);
  Agreed agreed;
  agreed.outcome = static_cast<Agreed::Outcome>(reader.integer());
  agreed.value = reader.integer();
  agreed.problem = reader.text();
  agreed.last = reader.integer() != 0;
  agreed.progress.step = reader.integer();
  agreed.progress.operation = reader.text();
  return agreed;
}

Agreed settle(std::span<const Contribution> by_rank) {
  const Contribution& first = by_rank[0];
  Agreed agreed{.value = first.value, .last = first.kind == AgreementKind::leave};
  for (size_t rank = 1; rank < by_rank.size(); ++rank) {
    const Contribution& c = by_rank[rank];
    if (c.kind != first.kind || c.name != first.name) {
      return {.outcome = Agreed::Outcome::out_of_step,
              .problem = fmt::format("the ranks are out of step: rank 0 agrees on {}, rank {} on {}",
                                     first.name, rank, c.name),
              .last = true};
    }
    if (first.kind == AgreementKind::maximum) agreed.value = std::max(agreed.value, c.value);
  }
  const auto same = [&](const Contribution& c) { return same_value(c, first); };
  if (first.kind == AgreementKind::same && !std::all_of(by_rank.begin(), by_rank.end(), same)) {
    return {.outcome = Agreed::Outcome::differ, .problem = explain_difference(by_rank), .last = true};
  }
  return agreed;
}

std::string name_ranks(std::span<const int> ranks) {
  std::vector<std::string> runs;
  for (size_t first = 0, last = 0; first < ranks.size(); first = last + 1) {
    last = first;
    while (last + 1 < ranks.size() && ranks[last + 1] == ranks[last] + 1) ++last;
    if (last - first < 2) last = first;  // two are two, three are a stretch
    runs.push_back(first == last ? fmt::format("{}", ranks[first])
                                 : fmt::format("{}-{}", ranks[first], ranks[last]));
  }
  std::string text = fmt::format("{} {}", ranks.size() == 1 ? "rank" : "ranks", runs[0]);
  for (size_t i = 1; i < runs.size(); ++i) text += (i + 1 == runs.size() ? " and " : ", ") + runs[i];
  return text;
}

}  // namespace cuclip
