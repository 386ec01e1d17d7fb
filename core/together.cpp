#include "core/together.h"

#include <algorithm>
#include <exception>
#include <sstream>
#include <vector>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

enum Outcome : int32_t { kWell, kFailed, kRefused };

std::vector<int32_t> all_values(Communicator& ranks, int32_t own) {
  std::vector<int32_t> all(static_cast<size_t>(ranks.size()));
  ranks.all_gather(make_view(&own, {1}), make_view(all.data(), {ranks.size(), 1}));
  return all;
}

}  // namespace

OtherRankFailed::OtherRankFailed(int rank, bool input)
    : Error(fmt::format("rank {} has failed", rank)), rank_(rank), input_(input) {}

void together(Communicator& ranks, const std::function<void()>& work) {
  std::exception_ptr failure;
  Outcome own = kWell;
  try {
    work();
  } catch (const InputError&) {
    failure = std::current_exception();
    own = kRefused;
  } catch (...) {
    failure = std::current_exception();
    own = kFailed;
  }
  const std::vector<int32_t> outcomes = all_values(ranks, own);
  const auto first =
      std::find_if(outcomes.begin(), outcomes.end(), [](int32_t outcome) { return outcome != kWell; });
  if (first == outcomes.end()) return;
  const int rank = static_cast<int>(first - outcomes.begin());
  if (rank == ranks.rank()) std::rethrow_exception(failure);
  throw OtherRankFailed(rank, *first == kRefused);
}

void on_first_rank(Communicator& ranks, const std::function<void()>& work) {
  together(ranks, [&] {
    if (ranks.rank() == 0) work();
  });
}

std::string first_ranks(Communicator& ranks, std::string text) {
  int64_t size = std::ssize(text);
  ranks.broadcast(make_view(reinterpret_cast<uint8_t*>(&size), {sizeof size}), 0);
  text.resize(static_cast<size_t>(size));
  ranks.broadcast(make_view(reinterpret_cast<uint8_t*>(text.data()), {size}), 0);
  return text;
}

void check_same(Communicator& ranks, const std::string& what, const std::string& text) {
  const std::string expected = first_ranks(ranks, text);
  together(ranks, [&] {
    if (text == expected) return;
    std::istringstream ours(text), theirs(expected);
    std::string own_line, line;
    do {
      own_line.clear();
      line.clear();
      std::getline(ours, own_line);
      std::getline(theirs, line);
    } while (own_line == line && (ours || theirs));
    fail_input("the {} of all ranks must be the same: rank {} has '{}' where rank 0 has '{}'", what,
               ranks.rank(), own_line, line);
  });
}

int largest(Communicator& ranks, int value) {
  const std::vector<int32_t> all = all_values(ranks, value);
  return *std::max_element(all.begin(), all.end());
}

}  // namespace cuclip
