// What a listing passed over without losing a sample, to be reported in one line per kind.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace cuclip {

class PassedOver {
 public:
  /// A kind of thing, in the singular and the plural: "link that leads nowhere", "links that lead nowhere".
  struct Kind {
    const char* one;
    const char* many;
  };

  void add(const Kind& kind, std::string_view name);
  void add(const PassedOver& other);

  /// "WHERE: passed over 8 hidden files and folders, for example .thumbnails": one line per kind.
  std::vector<std::string> notes(std::string_view where) const;

 private:
  struct Entry {
    const char* one;
    int64_t count;
    std::string first;
  };
  std::map<std::string, Entry> kinds_;  // by the kind's name for several
};

}  // namespace cuclip
