#include "models/files/strict_json.h"

#include <set>
#include <string>
#include <vector>

#include "kernels/common/check.h"

namespace cuclip {

nlohmann::json parse_strict_json(std::string_view text, std::string_view name) {
  using nlohmann::json;
  constexpr int kMaxDepth = 16;
  std::vector<std::set<std::string>> keys;
  const auto callback = [&](int depth, json::parse_event_t event, json& parsed) {
    CUCLIP_CHECK(depth <= kMaxDepth, "{}: the JSON is nested more than {} deep", name, kMaxDepth);
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      CUCLIP_CHECK(keys.back().insert(key).second, "{}: the JSON has the key \"{}\" twice", name, key);
    }
    return true;
  };
  json root;
  try {
    root = json::parse(text, callback);
  } catch (const json::exception& e) {
    const std::string_view why = e.what();  // "[json.exception.parse_error.101] parse error at ..."
    const size_t prefix = why.find("] ");
    fail_input("{}: not JSON: {}", name, prefix == why.npos ? why : why.substr(prefix + 2));
  }
  CUCLIP_CHECK(root.is_object(), "{}: expected a JSON object, got {}", name, root.type_name());
  return root;
}

int positive_whole_number(const nlohmann::json& value, std::string_view where, std::string_view key,
                          int limit) {
  CUCLIP_CHECK(value.is_number_integer() && value.get<int64_t>() > 0 && value.get<int64_t>() < limit,
               "{}: {} must be a whole number > 0, got {}", where, key, value.dump());
  return value.get<int>();
}

}  // namespace cuclip
