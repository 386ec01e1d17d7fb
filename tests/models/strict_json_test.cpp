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
      {std::string("{}\0{}", 5), "a NUL byte"},
      {std::string("{}\0", 3), "a NUL byte"},
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

TEST_CASE("objects side by side take time in proportion to their number") {
  // With its square, 300,000 would take the better part of an hour.
  std::string text = "{";
  for (int i = 0; i < 300'000; ++i) text += fmt::format("{}\"{}\": {{}}", i ? "," : "", i);
  CHECK(parse_strict_json(text + "}", "f.json").size() == 300'000);
}
