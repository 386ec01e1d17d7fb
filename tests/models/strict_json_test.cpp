#include "models/files/strict_json.h"

#include <catch2/catch.hpp>

#include "kernels/common/check.h"

using namespace cuclip;
using Catch::Contains;

TEST_CASE("JSON objects are parsed") {
  CHECK(parse_strict_json(R"( {"a": [1, {"a": null}], "b": {"a": "x"}} )", "f")["b"]["a"] == "x");
  CHECK(parse_strict_json("{}", "f").empty());
}

TEST_CASE("JSON that is damaged, ambiguous or hostile is refused by name") {
  const auto deep = [](size_t n) { return R"({"a":)" + std::string(n, '[') + std::string(n, ']') + "}"; };
  CHECK_NOTHROW(parse_strict_json(deep(15), "f.json"));
  const std::pair<std::string, const char*> cases[] = {
      {"", "not JSON"},
      {"{", "not JSON"},
      {"{} {}", "not JSON"},
      {"{\"a\": 1,}", "not JSON"},
      {"{\"a\": NaN}", "not JSON"},
      {"{\"a\": 1e999}", "not JSON"},
      {"{\"\xFF\": 1}", "not JSON"},
      {"[]", "expected a JSON object, got array"},
      {"1", "expected a JSON object, got number"},
      {R"({"a": 1, "b": 2, "a": 3})", "key \"a\" twice"},
      {R"({"x": [{"a": 1, "a": 1}]})", "key \"a\" twice"},
      {deep(20), "nested more than 16 deep"},
      {deep(1'000'000), "nested more than 16 deep"},
      {std::string(1'000'000, '['), "nested more than 16 deep"},
  };
  for (const auto& [text, message] : cases) {
    INFO(text.substr(0, 80));
    CHECK_THROWS_WITH(parse_strict_json(text, "f.json"), Contains("f.json") && Contains(message));
    CHECK_THROWS_AS(parse_strict_json(text, "f.json"), InputError);
  }
}
