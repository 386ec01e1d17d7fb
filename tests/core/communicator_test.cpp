// labels: threads
#include "core/communicator.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "kernels/common/error.h"
#include "tests/support/thread_ranks.h"

namespace cuclip {
namespace {

using Values = std::vector<float>;

TensorView view(Values& values) { return make_view(values.data(), {std::ssize(values)}); }

// Catch2's assertions are for one thread: ranks throw instead.
void expect(bool condition, const char* what) {
  if (!condition) throw Error(what);
}

void ring(Communicator& ranks) {
  const int next = (ranks.rank() + 1) % ranks.size(), last = (ranks.rank() + ranks.size() - 1) % ranks.size();
  Values first{static_cast<float>(ranks.rank())}, second(3, static_cast<float>(10 * ranks.rank())),
      got_first(1), got_second(3);
  const std::vector<Message> sends{{next, view(first)}, {next, view(second)}};
  const std::vector<Message> receives{{last, view(got_first)}, {last, view(got_second)}};
  ranks.exchange(sends, receives)->wait();
  expect(got_first[0] == static_cast<float>(last), "the first message is another's");
  expect(got_second == Values(3, static_cast<float>(10 * last)), "the second message is another's");
  const int64_t sent = ranks.size() == 1 ? 0 : 16;
  expect(ranks.bytes_sent() == sent, "bytes sent");
}

void gather(Communicator& ranks) {
  Values own(5, static_cast<float>(ranks.rank())), all(5 * static_cast<size_t>(ranks.size()), -1.0f),
      expected;
  for (int r = 0; r < ranks.size(); ++r) expected.insert(expected.end(), 5, static_cast<float>(r));
  const TensorView rows = make_view(all.data(), {ranks.size(), 5});
  ranks.all_gather(view(own), rows);
  expect(all == expected, "rows gathered");
  // In place.
  Values again(all.size(), -1.0f);
  float* mine = again.data() + 5 * ranks.rank();
  std::fill_n(mine, 5, static_cast<float>(ranks.rank()));
  ranks.all_gather(make_view(mine, {5}), make_view(again.data(), {ranks.size(), 5}));
  expect(again == expected, "rows gathered in place");
}

void spread(Communicator& ranks) {
  for (int root = 0; root < ranks.size(); ++root) {
    Values x(7, static_cast<float>(100 * ranks.rank()));
    ranks.broadcast(view(x), root);
    expect(x == Values(7, static_cast<float>(100 * root)), "values broadcast");
  }
  Values none;
  ranks.broadcast(make_view(none.data(), {0}), 0);
  ranks.barrier();
}

TEST_CASE("what ranks send arrives, in order, and is counted") {
  SingleCommunicator alone;
  for (const auto& what : {ring, gather, spread}) {
    what(alone);
    for (const int size : {1, 2, 3, 8}) {
      CAPTURE(size);
      test::run_ranks(size, what);
    }
    if (what == ring) REQUIRE(alone.bytes_sent() == 0);
  }
}

TEST_CASE("messages that cannot be are refused") {
  SingleCommunicator alone;
  Values x(4), y(3);
  const Message to_nobody{1, view(x)}, own{0, view(x)}, shorter{0, view(y)};
  TensorView columns = make_view(x.data(), {2, 1});
  columns.strides[0] = 2;
  const Message strided{0, columns};
  const auto refused = [&](std::span<const Message> sends, std::span<const Message> receives) {
    REQUIRE_THROWS_AS(alone.exchange(sends, receives), InputError);
  };
  refused(std::span(&to_nobody, 1), {});
  refused({}, std::span(&to_nobody, 1));
  refused(std::span(&own, 1), {});
  refused({}, std::span(&own, 1));
  refused(std::span(&own, 1), std::span(&shorter, 1));
  refused(std::span(&strided, 1), std::span(&strided, 1));
  REQUIRE_THROWS_AS(alone.all_gather(view(x), make_view(x.data(), {2, 2})), InputError);
}

TEST_CASE("a rank that fails takes the others with it") {
  REQUIRE_THROWS_WITH(test::run_ranks(3,
                                      [](Communicator& ranks) {
                                        if (ranks.rank() == 1) throw Error("rank 1 is out of memory");
                                        ranks.barrier();
                                      }),
                      "rank 1 is out of memory");
}

}  // namespace
}  // namespace cuclip
