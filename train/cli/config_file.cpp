#include "train/cli/config_file.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <tuple>

#include "kernels/common/check.h"
#include "models/files/names.h"
#include "models/files/text_file.h"

namespace cuclip {
namespace {

struct BrokenAssumption {};
[[noreturn]] void break_off() { throw BrokenAssumption(); }

}  // namespace
}  // namespace cuclip

// toml++ 3.3 assumes that no file has certain mistakes ("[[["), which is undefined behaviour where assertions
// are off. Here they stay on, and what they find is thrown.
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? static_cast<void>(0) : ::cuclip::break_off())
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

namespace cuclip {
namespace {

constexpr std::string_view kSection = "train", kBytes = "_bytes";

// From 1, and without its end; lines end as in TOML.
std::string_view line_of(std::string_view text, size_t number) {
  for (; number > 1; --number) {
    const size_t end = text.find('\n');
    text = end == text.npos ? "" : text.substr(end + 1);
  }
  return text.substr(0, text.find_first_of("\r\n"));
}

// A number, or true, as it is written there. Columns count characters.
std::string_view written_at(std::string_view text, const toml::source_position& place) {
  std::string_view line = line_of(text, place.line);
  const auto is_inner_byte = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
  for (size_t column = 1; column < place.column && !line.empty(); ++column) {
    line.remove_prefix(1);
    while (!line.empty() && is_inner_byte(line[0])) line.remove_prefix(1);
  }
  return line.substr(0, line.find_first_of(" \t,#}"));
}

toml::table parsed(const std::string& text, const std::string& path) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    constexpr std::string_view kWhere = "Error while parsing ";  // "key-value pair: expected '='"
    std::string_view reason = error.description();
    if (reason.starts_with(kWhere)) reason.remove_prefix(reason.find(": ") + 2);
    const size_t number = error.source().begin.line;
    const std::string_view line = line_of(text, number);
    const char* expected = !is_utf8(line)                          ? "UTF-8"
                           : reason.starts_with("cannot redefine") ? "every key once"
                                                                   : "KEY = VALUE";
    fail_input("{}, line {}: expected {}, found \"{}\" ({})", path, number, expected, shortened_name(line),
               reason);
  } catch (const BrokenAssumption&) {
    fail_input("{}: expected lines with KEY = VALUE or [{}], found brackets without a name", path, kSection);
  }
}

struct Entry {
  std::string name;  // "train.seed" of "seed" in the section
  std::string_view key;
  toml::source_position place;
  const toml::node* value;
};

// In the order of the file.
std::vector<Entry> entries_of(const toml::table& file) {
  std::vector<Entry> entries;
  const auto add = [&](const std::string& before, const toml::table& table) {
    for (const auto& [key, value] : table) {
      if (&table == &file && key == kSection && value.is_table()) continue;
      entries.push_back({before + std::string(key.str()), key.str(), key.source().begin, &value});
    }
  };
  add("", file);
  if (const toml::table* section = file[kSection].as_table()) add(std::string(kSection) + ".", *section);
  const auto earlier = [](const Entry& a, const Entry& b) {
    return std::tuple(a.place.line, a.place.column) < std::tuple(b.place.line, b.place.column);
  };
  std::sort(entries.begin(), entries.end(), earlier);
  return entries;
}

// The setting that a key is about, and whether its text is in percent encoding.
struct Meaning {
  const Setting* setting = nullptr;
  bool is_encoded = false;
};

Meaning meaning_of(std::string_view key) {
  for (const Setting& setting : train_settings()) {
    const std::string_view name = std::string_view(setting.flag).substr(2);
    if (key == name) return {&setting};
    const bool is_text = std::holds_alternative<TextSetting>(setting.value);
    if (is_text && key.starts_with(name) && key.substr(name.size()) == kBytes) return {&setting, true};
  }
  return {};
}

// Gives a value of the file to its setting.
struct Assign {
  const Meaning& meaning;
  const toml::node& value;
  std::string_view written;
  TrainConfig& config;

  void operator()(const TextSetting& kind) const {
    const std::string text = meaning.is_encoded ? percent_decoded(as_text()) : as_text();
    CUCLIP_CHECK(text.find('\0') == text.npos, "{} must not have a NUL character in it", flag());
    config.*kind.value = text;
  }
  void operator()(const SwitchSetting& kind) const {
    if (!value.is_boolean()) refuse("true or false");
    config.*kind.value = value.as_boolean()->get();
  }
  void operator()(const WholeSetting& kind) const {
    if (!value.is_integer()) refuse("a whole number");
    const int64_t number = value.as_integer()->get();
    check_range(flag(), kind.range, number);
    config.*kind.value = number;
  }
  void operator()(const RealSetting& kind) const {
    if (!value.is_number()) refuse("a number");
    const double number = value.is_integer() ? static_cast<double>(value.as_integer()->get())
                                             : value.as_floating_point()->get();
    check_range(flag(), kind.range, number);
    config.*kind.value = number;
  }
  void operator()(const ChoiceSetting& kind) const { kind.set(config, flag(), as_text()); }

  const char* flag() const { return meaning.setting->flag; }

  // cuclip 0.1.0 wrote a folder that is called 7 as out=7, and one that is called true likewise.
  std::string as_text() const {
    if (value.is_number() || value.is_boolean()) return std::string(written);
    if (!value.is_string()) refuse("a text in quotes");
    return value.as_string()->get();
  }

  [[noreturn]] void refuse(const char* expected) const {
    fail_input("{} must be {}, got {}", flag(), expected, description());
  }

  std::string description() const {
    if (value.is_string()) return fmt::format("the text \"{}\"", shortened_name(value.as_string()->get()));
    if (value.is_number()) return fmt::format("the number {}", written);
    if (value.is_boolean()) return std::string(written);
    if (value.is_array()) return "a list";
    return value.is_table() ? "a table" : "a date or time";
  }
};

// One line of config.toml, or none.
struct Write {
  const Setting& setting;
  const TrainConfig& config;

  std::string operator()(const TextSetting& kind) const {
    const std::string& text = config.*kind.value;
    if (text.empty() && (TrainConfig{}.*kind.value).empty()) return "";
    return is_utf8(text) ? line(quoted(text)) : line(quoted(percent_encoded(text)), kBytes);
  }
  std::string operator()(const ChoiceSetting& kind) const {
    return line(quoted(std::string(kind.get(config))));
  }
  template <typename Kind>
  std::string operator()(const Kind& kind) const {
    return line(fmt::format("{}", config.*kind.value));
  }

  std::string line(const std::string& value, std::string_view ending = "") const {
    return fmt::format("{}{}={}\n", setting.flag + 2, ending, value);
  }

  static std::string quoted(const std::string& text) {
    const toml::value<std::string> value(text);
    std::ostringstream out;
    out << toml::toml_formatter(value, toml::format_flags::allow_unicode_strings);
    return out.str();
  }
};

}  // namespace

void apply_config_file(const std::string& path, const std::function<bool(const Setting&)>& given,
                       TrainConfig& config) {
  const std::string text = read_text_file(path);
  const toml::table file = parsed(text, path);
  std::map<const Setting*, size_t> lines;
  for (const Entry& entry : entries_of(file)) {
    const size_t line = entry.place.line;
    const Meaning meaning = meaning_of(entry.key);
    CUCLIP_CHECK(meaning.setting, "{}, line {}: '{}' is not a setting of cuclip train", path, line,
                 shortened_name(entry.name));
    const auto [first, is_new] = lines.emplace(meaning.setting, line);
    CUCLIP_CHECK(is_new, "{}, line {}: {} was given before, in line {}", path, line, meaning.setting->flag,
                 first->second);
    if (given(*meaning.setting)) continue;
    try {
      const std::string_view written = written_at(text, entry.value->source().begin);
      std::visit(Assign{meaning, *entry.value, written, config}, meaning.setting->value);
    } catch (const InputError& error) {
      fail_input("{}, line {}: {}", path, line, error.what());
    }
  }
}

std::string config_toml(const TrainConfig& config) {
  std::string text;
  for (const Setting& setting : train_settings()) text += std::visit(Write{setting, config}, setting.value);
  return text;
}

}  // namespace cuclip
