#include "models/files/strict_json.h"

#include <cmath>
#include <string>
#include <unordered_set>
#include <vector>

#include "kernels/common/check.h"
#include "models/files/names.h"

namespace cuclip {

namespace {

using nlohmann::json;

// Looks at the text without keeping it. (As a callback of the parser it would take time with the square of
// the number of objects side by side.)
class Strictness final : public nlohmann::json_sax<json> {
 public:
  explicit Strictness(std::string_view name) : name_(name) {}

  bool start_object(size_t) override {
    keys_.emplace_back();
    return deeper();
  }
  bool end_object() override {
    keys_.pop_back();
    --depth_;
    return true;
  }
  bool start_array(size_t) override { return deeper(); }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool key(string_t& key) override {
    CUCLIP_CHECK(keys_.back().insert(key).second, "{}: the JSON has the key \"{}\" twice", name_,
                 shortened_name(key));
    return true;
  }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;  // json::parse says it
  }

 private:
  bool deeper() {
    constexpr int kMaxDepth = 16;
    CUCLIP_CHECK(++depth_ <= kMaxDepth, "{}: the JSON is nested more than {} deep", name_, kMaxDepth);
    return true;
  }

  std::string_view name_;
  std::vector<std::unordered_set<std::string>> keys_;  // of the objects that are open
  int depth_ = 0;
};

}  // namespace

nlohmann::json parse_strict_json(std::string_view text, std::string_view name) {
  // The parser would take it for the end.
  CUCLIP_CHECK(text.find('\0') == text.npos, "{}: not JSON: it holds a NUL byte", name);
  Strictness strictness(name);
  json::sax_parse(text, &strictness);
  json root;
  try {
    root = json::parse(text);
  } catch (const json::exception& e) {
    const std::string_view why = e.what();  // "[json.exception.parse_error.101] parse error at ..."
    const size_t prefix = why.find("] ");
    fail_input("{}: not JSON: {}", name, shortened_name(prefix == why.npos ? why : why.substr(prefix + 2)));
  }
  CUCLIP_CHECK(root.is_object(), "{}: expected a JSON object, got {}", name, root.type_name());
  return root;
}

std::string excerpt(const nlohmann::json& value) { return shortened_name(value.dump()); }

bool is_moderate(const nlohmann::json& value) {
  return value.is_number() && std::abs(value.get<double>()) <= 1e6;
}

int positive_whole_number(const nlohmann::json& value, std::string_view where, std::string_view key,
                          int limit) {
  CUCLIP_CHECK(value.is_number_integer() && value.get<int64_t>() > 0 && value.get<int64_t>() < limit,
               "{}: {} must be a whole number from 1 to {}, got {}", where, key, limit - 1, excerpt(value));
  return value.get<int>();
}

}  // namespace cuclip
