#include "models/text/english.h"

#include <catch2/catch.hpp>

namespace cuclip::test {
namespace {

TEST_CASE("a bare phrase has no determiners, nothing about being a picture, and no final punctuation") {
  for (const auto& [phrase, bare] : {std::pair{"bicycle", "bicycle"},
                                     {"a bicycle", "bicycle"},
                                     {"The  old owl.", "old owl"},
                                     {"my two birds!", "birds"},
                                     {"a photo of a red bicycle", "red bicycle"},
                                     {"an icon of the cat in the hat", "cat in the hat"},
                                     {"a photo", "photo"},
                                     {"photo of", "photo of"},
                                     {"a photo of a", "a"},
                                     {"the", "the"},
                                     {"U.S. flag", "U.S. flag"},
                                     {"anchor", "anchor"}})
    CHECK(bare_phrase(phrase) == bare);
  for (const char* nothing : {"", " ", "?!"}) CHECK(bare_phrase(nothing) == nothing);
}

TEST_CASE("a phrase in the singular") {
  for (const auto& [plural, singular] : {std::pair{"birds", "bird"},
                                         {"red Buses", "red Bus"},
                                         {"butterflies", "butterfly"},
                                         {"two benches", "two bench"},
                                         {"foxes", "fox"},
                                         {"glasses", "glass"},
                                         {"shoes", "shoe"},
                                         {"houses", "house"},
                                         {"Blouses", "Blouse"},
                                         {"viruses", "virus"},
                                         {"big Movies", "big Movie"},
                                         {"pies", "pie"},
                                         {"headaches", "headache"},
                                         {"potatoes", "potato"},
                                         {"toes", "toe"},
                                         {"wooden knives", "wooden knife"},
                                         {"gloves", "glove"},
                                         {"white mice", "white mouse"},
                                         {"Men", "Man"},
                                         {"octopus", "octopus"},
                                         {"lens", "lens"},
                                         {"women's feet", "women's foot"},
                                         {"bus", "bus"},
                                         {"glass", "glass"},
                                         {"tennis", "tennis"},
                                         {"s", "s"},
                                         {"sheep", "sheep"},
                                         {"", ""}})
    CHECK(singular_phrase(plural) == singular);
}

TEST_CASE("the head of a noun phrase is its last word, or the last one before what follows the noun") {
  for (const auto& [phrase, head] : {std::pair{"a red bicycle", "bicycle"},
                                     {"red bicycle", "bicycle"},
                                     {"the Red Bicycle!", "Bicycle"},
                                     {"a photo of a red bicycle", "bicycle"},
                                     {"a blue bird in the snow", "bird"},
                                     {"bird with a long tail", "bird"},
                                     {"a dog is running", "dog"},
                                     {" two  well-known \t houses ", "houses"}})
    CHECK(head_of_phrase(phrase) == head);
}

TEST_CASE("a phrase that is its head, a list, a measure and punctuated text have none") {
  for (const char* phrase :
       {"", " ", ".", "bicycle", "a bicycle", "my two bicycles.", "a", "a cat and a dog", "salt & pepper",
        "a cup of tea", "bird, blue, sky", "red/blue bird", "in the snow", "http://a b", "\xFF"})
    CHECK(head_of_phrase(phrase).empty());
}

}  // namespace
}  // namespace cuclip::test
