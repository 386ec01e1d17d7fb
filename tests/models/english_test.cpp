#include "models/text/english.h"

#include <catch2/catch.hpp>

namespace cuclip::test {
namespace {

TEST_CASE("an article is toggled") {
  for (const auto& [phrase, other] : {std::pair{"bicycle", "a bicycle"},
                                      {"a bicycle", "bicycle"},
                                      {"an  old owl", "old owl"},
                                      {" The owl", "owl"},
                                      {"owl", "an owl"},
                                      {"a", "an a"},
                                      {"anchor", "an anchor"},
                                      {"état", "an état"},
                                      {"", "a "}})
    CHECK(with_toggled_article(phrase) == other);
}

TEST_CASE("the head of a noun phrase is its last word, or the last one before what follows the noun") {
  for (const auto& [phrase, head] : {std::pair{"a red bicycle", "bicycle"},
                                     {"red bicycle", "bicycle"},
                                     {"the Red Bicycle!", "Bicycle"},
                                     {"a blue bird in the snow", "bird"},
                                     {"bird with a long tail", "bird"},
                                     {"a dog that sleeps", "dog"},
                                     {" two  well-known \t houses ", "houses"},
                                     {"une \u00E9t\u00E9 bleue", "bleue"}})
    CHECK(head_of_phrase(phrase) == head);
}

TEST_CASE("a phrase that is its head, a list, a measure and punctuated text have none") {
  for (const char* phrase : {"", " ", ".", "bicycle", "a bicycle", "The bicycle.", "a", "a cat and a dog",
                             "salt & pepper", "a cup of tea", "a photo of a red bicycle", "bird, blue, sky",
                             "red/blue bird", "in the snow", "a in the snow", "http://a b", "\xFF"})
    CHECK(head_of_phrase(phrase).empty());
}

}  // namespace
}  // namespace cuclip::test
