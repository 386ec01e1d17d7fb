// What a listing passed over although no sample was lost by it, to be said in one line for each kind.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace cuclip {

class PassedOver {
 public:
  /// A kind of thing, for one of them and for several: "link that leads nowhere", "links that lead nowhere".
  struct Kind {
    const char* one;
    const char* many;
  };

  void add(const Kind& kind, std::string_view name);
  void add(const PassedOver& other);

  /// "WHERE: passed over 8 hidden files and folders, for example .thumbnails": one line for each kind.
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
