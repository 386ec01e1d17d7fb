// The scenes of synthetic:shapes: what is in them and how they are described and drawn.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/rng.h"
#include "models/image/image.h"

namespace cuclip::shapes {

enum class Object { circle, square, triangle, star, heart, bicycle, car, house, tree, fish, boat, cup };
constexpr int kObjects = 12;
enum class Colour { red, orange, yellow, green, blue, purple, pink, brown };
constexpr int kColours = 8;
enum class Background { white, grey, black, light_blue };
constexpr int kBackgrounds = 4;

/// Where the first object is, seen from the second. Opposites differ in the last bit.
enum class Relation { left, right, above, below };
constexpr int kRelations = 4;

constexpr int kMaxCount = 5;

/// A drawn object: its centre and half its extent, in units of the picture's edge.
struct Placed {
  Object object;
  Colour colour;
  double x, y, radius;
  double rotation;  // radians
};

enum class SceneKind { single, count, pair };

struct Scene {
  SceneKind kind = SceneKind::single;
  Background background = Background::white;
  Relation relation = Relation::left;  // of a pair
  int size = 0;                        // of a single object: -1 small, 0, 1 large
  std::vector<Placed> placed;
};

/// A combination of colour and object.
struct Combination {
  Colour colour;
  Object object;
  bool operator==(const Combination&) const = default;
};

/// One colour of each object: never in the splits `train` and `val`.
bool is_held_out(const Combination& combination);
Combination random_combination(SplitMix64& rng, bool held_out);

Scene make_single(const Combination& what, SplitMix64& rng);
Scene make_count(const Combination& what, int count, SplitMix64& rng);
/// `first` stands in `relation` to `second`; the two differ.
Scene make_pair(const Combination& first, const Combination& second, Relation relation, SplitMix64& rng);

std::string name(Object object);
std::string phrase(const Combination& what);              // "red car"
std::string counted(const Combination& what, int count);  // "three red cars", "one red car"
std::string related(const Combination& first, Relation relation, const Combination& second);

/// Several captions of a scene, all true, from the plainest to the most complete.
std::vector<std::string> describe(const Scene& scene, SplitMix64& rng);

/// Draws a scene, antialiased.
Image render(const Scene& scene, int image_size);

}  // namespace cuclip::shapes
