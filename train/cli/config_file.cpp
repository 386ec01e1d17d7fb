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

// Lines end as in TOML.
std::string_view first_lines(std::string_view text, size_t count) {
  size_t end = 0;
  for (; count > 0 && end < text.size(); --count) end = std::min(text.find('\n', end), text.size() - 1) + 1;
  return text.substr(0, end);
}

// The lines are counted from 1.
std::string_view line_of(std::string_view text, size_t number) {
  const std::string_view rest = text.substr(first_lines(text, number - 1).size());
  const std::string_view line = rest.substr(0, rest.find('\n'));
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

// A number, or true, as it is written there.
std::string_view written_at(std::string_view text, const toml::source_position& place) {
  const std::string_view line = line_of(text, place.line);
  const std::string_view value = line.substr(std::min<size_t>(place.column - 1, line.size()));
  return value.substr(0, value.find_first_of(" \t,#}"));
}

// Whether some characters are white space (U+00A1 to U+0499, for one) is undefined behaviour in toml++. So it
// is given each byte beyond ASCII as a character of its own, from U+10FF80 on. Columns are then bytes.
constexpr std::string_view kMaskLow = "\xF4\x8F\xBE", kMaskHigh = "\xF4\x8F\xBF";

std::string masked(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) out += byte < 0xC0 ? kMaskLow : kMaskHigh;
    out += byte < 0xC0 ? c : static_cast<char>(byte - 0x40);
  }
  return out;
}

std::string unmasked(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const bool is_low = text.starts_with(kMaskLow), is_high = text.starts_with(kMaskHigh);
    if (is_low || is_high) text.remove_prefix(kMaskLow.size());
    out += is_high ? static_cast<char>(static_cast<unsigned char>(text[0]) + 0x40) : text[0];
    text.remove_prefix(1);
  }
  return out;
}

[[noreturn]] void refuse_line(const std::string& path, std::string_view text, size_t number,
                              const std::string& expected, const std::string& reason) {
  fail_input("{}, line {}: expected {}, found \"{}\" ({})", path, number, expected,
             shortened_name(line_of(text, number)), reason);
}

void check_utf8(std::string_view text, const std::string& path) {
  for (size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = first_lines(text, 1);
    CUCLIP_CHECK(is_utf8(line), "{}, line {}: expected UTF-8, found \"{}\"; save the file as UTF-8", path,
                 number, shortened_name(line_of(line, 1)));
    text.remove_prefix(line.size());
  }
}

// The first line with which a text breaks an assumption of the parser.
size_t broken_line(std::string_view text) {
  const auto breaks = [&](size_t lines) {
    try {
      static_cast<void>(toml::parse(masked(first_lines(text, lines))));
    } catch (const toml::parse_error&) {  // it ends too early
    } catch (const BrokenAssumption&) {
      return true;
    }
    return false;
  };
  size_t without = 0, with = static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  while (with - without > 1) {
    const size_t middle = without + (with - without) / 2;
    (breaks(middle) ? with : without) = middle;
  }
  return with;
}

toml::table parsed(const std::string& text, const std::string& path) {
  try {
    return toml::parse(masked(text));
  } catch (const toml::parse_error& error) {
    constexpr std::string_view kWhere = "Error while parsing ";  // "key-value pair: expected '='"
    std::string_view reason = error.description();
    if (reason.starts_with(kWhere)) reason.remove_prefix(reason.find(": ") + 2);
    const bool is_repeated = reason.starts_with("cannot redefine");
    refuse_line(path, text, error.source().begin.line, is_repeated ? "every key once" : "KEY = VALUE",
                unmasked(reason));
  } catch (const BrokenAssumption&) {
    refuse_line(path, text, broken_line(text), fmt::format("KEY = VALUE or [{}]", kSection),
                "its name or its value cannot be understood");
  }
}

struct Entry {
  std::string name;  // "train.seed" of "seed" in the section
  std::string key;
  toml::source_position place;
  const toml::node* value;
};

// In the order of the file.
std::vector<Entry> entries_of(const toml::table& file) {
  std::vector<Entry> entries;
  const auto add = [&](const std::string& before, const toml::table& table) {
    for (const auto& [key, value] : table) {
      if (&table == &file && key == kSection && value.is_table()) continue;
      const std::string own = unmasked(key.str());
      entries.push_back({before + own, own, key.source().begin, &value});
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
    CUCLIP_CHECK(meaning.is_encoded || is_utf8(text), "{} must be UTF-8, got \"{}\"", flag(),
                 shortened_name(text));
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
    return unmasked(value.as_string()->get());
  }

  [[noreturn]] void refuse(const char* expected) const {
    fail_input("{} must be {}, got {}", flag(), expected, description());
  }

  std::string description() const {
    if (value.is_string())
      return fmt::format("the text \"{}\"", shortened_name(unmasked(value.as_string()->get())));
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
  std::string operator()(const ChoiceSetting& kind) const { return line(quoted(kind.get(config))); }
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
  check_utf8(text, path);
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
