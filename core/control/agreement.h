// What rank 0 makes of what the ranks say at an agreement.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/control/frames.h"

namespace cuclip {

enum class AgreementKind : uint8_t { same, maximum, leave };

/// What one rank says.
struct Contribution {
  AgreementKind kind{};
  std::string name{};
  int64_t value = 0;   // of which the maximum is taken; or the hash of what is to be the same,
  int64_t bytes = 0;   // its size,
  std::string text{};  // and what it is, unless it is long
  Progress progress{};
};
Contribution contribute_same(std::string_view name, std::string_view value);
Contribution contribute_maximum(std::string_view name, int64_t value);
Frame to_frame(const Contribution& contribution);
Contribution read_contribution(std::string_view body);

/// What all ranks get.
struct Agreed {
  enum class Outcome : uint8_t { agreed, differ, out_of_step };  // the last: they ask for different things
  Outcome outcome = Outcome::agreed;
  int64_t value = 0;
  std::string problem{};
  bool last = false;    // the ranks part
  Progress progress{};  // rank 0's
};
Frame to_frame(const Agreed& agreed);
Agreed read_agreed(std::string_view body);

/// By rank. Where what is to be the same is not, the problem says which ranks have what: of texts of several
/// lines the first that differs.
Agreed settle(std::span<const Contribution> by_rank);

/// "rank 3", "ranks 0-2 and 5": of ascending numbers.
std::string name_ranks(std::span<const int> ranks);

}  // namespace cuclip
