#include "core/allocator.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <vector>

#include "core/tensor.h"
#include "tests/support/kernel_test.h"

using namespace cuclip;
using Statistics = CachingAllocator::Statistics;

namespace {

CachingAllocator make() { return CachingAllocator(std::make_shared<const DeviceQueue>(Device::cpu)); }

constexpr size_t kMiB = size_t{1} << 20;

}  // namespace

TEST_CASE("a freed block is handed out again, and what is in use is counted") {
  CachingAllocator allocator = make();
  std::byte* first = nullptr;
  {
    const auto block = allocator.allocate(1000);
    first = block->data();
    REQUIRE(reinterpret_cast<uintptr_t>(first) % CachingAllocator::kAlignment == 0);
    REQUIRE(allocator.statistics().bytes_in_use == 1024);
  }
  REQUIRE(allocator.statistics().bytes_in_use == 0);
  REQUIRE(allocator.allocate(700)->data() == first);
  REQUIRE(allocator.statistics().system_allocations == 1);
  REQUIRE(allocator.statistics().peak_in_use == 1024);
  allocator.release_cached();
  REQUIRE(allocator.statistics().bytes_reserved == 0);
}

TEST_CASE("pieces of a segment become whole again in whatever order they come back") {
  std::vector<size_t> order = {0, 1, 2, 3};
  do {
    CachingAllocator allocator = make();
    allocator.reserve(8 * kMiB);
    std::vector<std::shared_ptr<const CachingAllocator::Block>> blocks;
    for (size_t i = 0; i < order.size(); ++i) blocks.push_back(allocator.allocate(2 * kMiB));
    for (const size_t i : order) blocks[i].reset();
    REQUIRE(allocator.allocate(8 * kMiB)->data() != nullptr);
    REQUIRE(allocator.statistics().system_allocations == 1);
    allocator.release_cached();
    REQUIRE(allocator.statistics().bytes_reserved == 0);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("the smallest free piece that fits is cut, and small requests leave large pieces alone") {
  CachingAllocator allocator = make();
  allocator.reserve(16 * kMiB);
  allocator.reserve(6 * kMiB);
  const auto small = allocator.allocate(100);  // a segment of its own
  REQUIRE(allocator.statistics().system_allocations == 3);
  const auto six = allocator.allocate(5 * kMiB), sixteen = allocator.allocate(16 * kMiB);
  REQUIRE(allocator.statistics().system_allocations == 3);
}

TEST_CASE("random requests never overlap, and everything can be given back") {
  CachingAllocator allocator = make();
  std::mt19937_64& random = test::rng();
  struct Held {
    std::shared_ptr<const CachingAllocator::Block> block;
    size_t bytes;
    int fill;
  };
  std::vector<Held> held;
  size_t in_use = 0;
  for (int i = 0; i < 3000; ++i) {
    if (held.empty() || (held.size() < 40 && random() % 2)) {
      const size_t bytes = random() % (size_t{1} << (random() % 22));
      const auto block = allocator.allocate(bytes);
      std::memset(block->data(), i % 251, bytes);
      held.push_back({block, bytes, i % 251});
      in_use += std::max<size_t>((bytes + 511) / 512 * 512, 512);
    } else {
      std::swap(held[random() % held.size()], held.back());
      const Held& last = held.back();
      const bool intact = std::all_of(last.block->data(), last.block->data() + last.bytes,
                                      [&](std::byte b) { return b == std::byte(last.fill); });
      REQUIRE(intact);
      in_use -= std::max<size_t>((last.bytes + 511) / 512 * 512, 512);
      held.pop_back();
    }
    const Statistics now = allocator.statistics();
    REQUIRE(now.bytes_in_use == in_use);
    REQUIRE(now.bytes_reserved >= in_use);
    if (i % 500 == 499) allocator.release_cached();
  }
  held.clear();
  REQUIRE(allocator.statistics().bytes_in_use == 0);
  allocator.release_cached();
  REQUIRE(allocator.statistics().bytes_reserved == 0);
}

TEST_CASE("where the device has no more memory, others are asked to release theirs") {
  constexpr size_t kTooMuch = SIZE_MAX / 4;
  CachingAllocator allocator = make();
  int asked = 0;
  allocator.on_shortage([&] { ++asked; });
  REQUIRE(allocator.allocate(kMiB) != nullptr);
  REQUIRE(asked == 0);
  REQUIRE_THROWS_WITH(allocator.allocate(kTooMuch), Catch::Contains("out of memory"));
  REQUIRE(asked == 1);
}

TEST_CASE("a block outlives its allocator") {
  std::shared_ptr<const CachingAllocator::Block> block;
  {
    CachingAllocator allocator = make();
    block = allocator.allocate(64);
  }
  block->data()[0] = std::byte{1};
  REQUIRE(block->data()[0] == std::byte{1});
}

TEST_CASE("a context's tensors and scratch come from another workspace while its scope lives") {
  Context context(1);
  Workspace other(context.queue());
  const Tensor before = Tensor::zeros(context, {1000}, DType::f32);
  const size_t own = context.allocator().statistics().bytes_in_use;
  Tensor kept;
  {
    const WorkspaceScope scope(context, other);
    kept = Tensor::full(context, {3}, 7.0f);
    context.exec().scratch->reserve(5000);
    REQUIRE(other.allocator.statistics().bytes_in_use == 512 + 5120);
  }
  REQUIRE(context.allocator().statistics().bytes_in_use == own);
  REQUIRE(kept.to_floats() == std::vector<float>{7, 7, 7});
  other.scratch.release();
  kept = Tensor();
  REQUIRE(other.allocator.statistics().bytes_in_use == 0);
}
