// The structs that programs and libcuclip.so exchange lie in memory as they did when programs were compiled:
// within one SONAME no size and no place changes, except that structs that tell their size grow at their end.
// Whoever changes a line here on purpose changes the second number of the version.
#include <cuclip/cuclip.h>
#include <cuclip/cuclip_c.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <type_traits>

namespace cuclip::test {
namespace {

#define PLACE(type, member, offset) static_assert(offsetof(type, member) == (offset), #type "::" #member)

static_assert(sizeof(void*) == 8 && sizeof(cuclip_status) == 4);

// What they began with may not become less; from here on they grow.
static_assert(sizeof(cuclip_options) == 64);
PLACE(cuclip_options, size, 0);
PLACE(cuclip_options, precision, 8);
PLACE(cuclip_options, device, 16);
PLACE(cuclip_options, tokenizer, 24);
PLACE(cuclip_options, config, 32);
PLACE(cuclip_options, threads, 40);
PLACE(cuclip_options, batch_invariant, 44);
PLACE(cuclip_options, log, 48);
PLACE(cuclip_options, log_user, 56);

static_assert(sizeof(cuclip_hidden_states_options) == 32);
PLACE(cuclip_hidden_states_options, size, 0);
PLACE(cuclip_hidden_states_options, layer, 8);
PLACE(cuclip_hidden_states_options, padding, 16);
PLACE(cuclip_hidden_states_options, no_final_norm, 24);
PLACE(cuclip_hidden_states_options, reserved, 28);

static_assert(sizeof(cuclip_index_options) == 40);
PLACE(cuclip_index_options, size, 0);
PLACE(cuclip_index_options, earlier, 8);
PLACE(cuclip_index_options, progress, 16);
PLACE(cuclip_index_options, passed_over, 24);
PLACE(cuclip_index_options, user, 32);

// These never change: programs have arrays of them.
static_assert(sizeof(cuclip_rgb) == 32);
PLACE(cuclip_rgb, data, 0);
PLACE(cuclip_rgb, width, 8);
PLACE(cuclip_rgb, height, 16);
PLACE(cuclip_rgb, stride, 24);
static_assert(sizeof(cuclip_label) == 24);
PLACE(cuclip_label, index, 0);
PLACE(cuclip_label, probability, 8);
PLACE(cuclip_label, similarity, 16);
static_assert(sizeof(cuclip_hit) == 16);
PLACE(cuclip_hit, row, 0);
PLACE(cuclip_hit, similarity, 8);

// The C++ interface's, with the standard library's types in them (libstdc++).
static_assert(sizeof(Clip) == 16 && sizeof(Classifier) == 16 && sizeof(Index) == 16);
static_assert(sizeof(Features) == 32 && sizeof(RgbView) == 32);
static_assert(sizeof(LabelProbability) == 56 && sizeof(SearchHit) == 48);
static_assert(sizeof(UnreadableFile) == 40 && sizeof(ReadableImages) == 80);
static_assert(sizeof(Representations) == 48 && sizeof(HiddenStates) == 72);
static_assert(sizeof(LoadOptions) == 176 && sizeof(IndexOptions) == 72);
static_assert(sizeof(ListOf<std::string>) == 16 && std::is_trivially_copyable_v<ListOf<std::string>>);

// check_size (models/api/c_support.h) relies on it.
template <typename Options>
constexpr bool kGrowsByEights = std::is_standard_layout_v<Options> && sizeof(Options) % 8 == 0;

TEST_CASE("structs that grow do so by 8 bytes") {
  CHECK(kGrowsByEights<cuclip_options>);
  CHECK(kGrowsByEights<cuclip_hidden_states_options>);
  CHECK(kGrowsByEights<cuclip_index_options>);
}

}  // namespace
}  // namespace cuclip::test
