#include "train/data/synthetic_scene.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "models/text/english.h"

namespace cuclip::shapes {
namespace {

constexpr std::array<const char*, kObjects> kObjectNames = {"circle", "square",  "triangle", "star",
                                                            "heart",  "bicycle", "car",      "house",
                                                            "tree",   "fish",    "boat",     "cup"};
constexpr std::array<const char*, kColours> kColourNames = {"red",  "orange", "yellow", "green",
                                                            "blue", "purple", "pink",   "brown"};
constexpr std::array<const char*, kBackgrounds> kBackgroundNames = {"white", "grey", "black", "light blue"};
constexpr std::array<const char*, kRelations> kRelationNames = {"to the left of", "to the right of", "above",
                                                                "below"};
constexpr std::array<const char*, kMaxCount + 1> kNumbers = {"no", "one", "two", "three", "four", "five"};

// The held-out colour of each object, every colour at least once.
constexpr std::array<Colour, kObjects> kHeldOut = {
    Colour::brown,  // circle
    Colour::pink,   Colour::purple, Colour::green, Colour::yellow,
    Colour::red,  // bicycle
    Colour::orange, Colour::blue,   Colour::red,   Colour::purple, Colour::pink, Colour::green};

template <typename Enum>
Enum pick(SplitMix64& rng, uint64_t choices) {
  return static_cast<Enum>(rng.below(choices));
}

Scene empty_scene(SceneKind kind, SplitMix64& rng) {
  Scene scene;
  scene.kind = kind;
  scene.background = pick<Background>(rng, kBackgrounds);
  return scene;
}

double tilt(SplitMix64& rng) { return rng.uniform(-0.15, 0.15); }

std::string plural(Object object) {
  const std::string singular = name(object);
  return object == Object::fish ? singular : singular + "s";
}

Combination of(const Placed& placed) { return {.colour = placed.colour, .object = placed.object}; }

Relation opposite(Relation relation) { return static_cast<Relation>(static_cast<int>(relation) ^ 1); }

}  // namespace

bool is_held_out(const Combination& what) {
  return kHeldOut[static_cast<size_t>(what.object)] == what.colour;
}

Combination random_combination(SplitMix64& rng, bool held_out) {
  const auto object = pick<Object>(rng, kObjects);
  const Colour forbidden = kHeldOut[static_cast<size_t>(object)];
  if (held_out) return {.colour = forbidden, .object = object};
  const int64_t other = rng.below(kColours - 1);  // of the seven others
  return {.colour = static_cast<Colour>(other + (other >= static_cast<int>(forbidden))), .object = object};
}

Scene make_single(const Combination& what, SplitMix64& rng) {
  Scene scene = empty_scene(SceneKind::single, rng);
  scene.size = static_cast<int>(rng.below(3)) - 1;
  const double middle[] = {0.17, 0.27, 0.38};  // far enough apart to be told from each other
  const double radius = middle[scene.size + 1] * rng.uniform(0.93, 1.07);
  const double room = std::max(0.0, 0.47 - radius);
  scene.placed = {{.object = what.object,
                   .colour = what.colour,
                   .x = 0.5 + rng.uniform(-room, room),
                   .y = 0.5 + rng.uniform(-room, room),
                   .radius = radius,
                   .rotation = tilt(rng)}};
  return scene;
}

Scene make_count(const Combination& what, int count, SplitMix64& rng) {
  Scene scene = empty_scene(SceneKind::count, rng);
  // `count` of the nine cells of a 3 x 3 grid, the first ones of a shuffle.
  std::array<int, 9> cells = {0, 1, 2, 3, 4, 5, 6, 7, 8};
  for (int i = 0; i < count; ++i)
    std::swap(cells[static_cast<size_t>(i)], cells[static_cast<size_t>(i + rng.below(9 - i))]);
  const double radius = rng.uniform(0.11, 0.14);
  for (int i = 0; i < count; ++i) {
    const int cell = cells[static_cast<size_t>(i)];
    scene.placed.push_back({.object = what.object,
                            .colour = what.colour,
                            .x = (cell % 3 + 0.5) / 3 + rng.uniform(-0.02, 0.02),
                            .y = (cell / 3 + 0.5) / 3 + rng.uniform(-0.02, 0.02),
                            .radius = radius,
                            .rotation = tilt(rng)});
  }
  return scene;
}

Scene make_pair(const Combination& first, const Combination& second, Relation relation, SplitMix64& rng) {
  Scene scene = empty_scene(SceneKind::pair, rng);
  scene.relation = relation;
  // Farther apart along the relation's axis than they can be across it: only one relation is true.
  const double apart = rng.uniform(0.24, 0.27), across = rng.uniform(-0.08, 0.08);
  const bool horizontal = relation == Relation::left || relation == Relation::right;
  const double side = relation == Relation::left || relation == Relation::above ? -1 : 1;
  for (int i = 0; i < 2; ++i) {
    const Combination& what = i == 0 ? first : second;
    const double along = 0.5 + (i == 0 ? side : -side) * apart;
    const double other = 0.5 + (i == 0 ? across : -across);
    scene.placed.push_back({.object = what.object,
                            .colour = what.colour,
                            .x = horizontal ? along : other,
                            .y = horizontal ? other : along,
                            .radius = rng.uniform(0.17, 0.21),
                            .rotation = tilt(rng)});
  }
  return scene;
}

std::string name(Object object) { return kObjectNames[static_cast<size_t>(object)]; }

std::string phrase(const Combination& what) {
  return fmt::format("{} {}", kColourNames[static_cast<size_t>(what.colour)], name(what.object));
}

std::string counted(const Combination& what, int count) {
  return fmt::format("{} {} {}", kNumbers[static_cast<size_t>(count)],
                     kColourNames[static_cast<size_t>(what.colour)],
                     count == 1 ? name(what.object) : plural(what.object));
}

std::string related(const Combination& first, Relation relation, const Combination& second) {
  return fmt::format("{} {} {}", with_article(phrase(first)), kRelationNames[static_cast<size_t>(relation)],
                     with_article(phrase(second)));
}

std::vector<std::string> describe(const Scene& scene, SplitMix64& rng) {
  const std::string ground =
      fmt::format("on {} background", with_article(kBackgroundNames[static_cast<size_t>(scene.background)]));
  const Combination first = of(scene.placed[0]);
  if (scene.kind == SceneKind::count) {
    const std::string what = counted(first, static_cast<int>(std::ssize(scene.placed)));
    return {what, what + " " + ground, "a picture of " + what};
  }
  if (scene.kind == SceneKind::pair) {
    const Combination second = of(scene.placed[1]);
    const std::string forth = related(first, scene.relation, second);
    const std::string back = related(second, opposite(scene.relation), first);
    return {forth, back, fmt::format("{} and {}", with_article(phrase(first)), with_article(phrase(second))),
            fmt::format("{} and {}", with_article(phrase(first)), with_article(name(second.object))),
            forth + " " + ground};
  }
  const char* sizes[] = {"small ", "", "large "};
  const std::string what = phrase(first);
  const std::string sized = with_article(sizes[scene.size + 1] + what);
  // Some other object, which is not there.
  const auto absent =
      static_cast<Object>((static_cast<int64_t>(first.object) + 1 + rng.below(kObjects - 1)) % kObjects);
  return {with_article(what), "a picture of " + sized, sized + " " + ground,
          fmt::format("one {} {}", what, ground),
          fmt::format("{} and no {}", with_article(what), name(absent))};
}

}  // namespace cuclip::shapes
