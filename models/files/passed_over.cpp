#include "models/files/passed_over.h"

#include <fmt/format.h>

#include "core/counted.h"
#include "models/files/names.h"

namespace cuclip {

void PassedOver::add(const Kind& kind, std::string_view name) {
  const auto [it, inserted] = kinds_.try_emplace(kind.many, Entry{kind.one, 0, ""});
  if (inserted) it->second.first = shortened_name(name);
  ++it->second.count;
}

void PassedOver::add(const PassedOver& other) {
  for (const auto& [many, entry] : other.kinds_) {
    const auto [it, inserted] = kinds_.try_emplace(many, entry);
    if (!inserted) it->second.count += entry.count;
  }
}

std::vector<std::string> PassedOver::notes(std::string_view where) const {
  std::vector<std::string> lines;
  for (const auto& [many, entry] : kinds_) {
    lines.push_back(fmt::format("{}: passed over {}{}{}", shortened_name(where),
                                counted(entry.count, entry.one, many),
                                entry.count == 1 ? ": " : ", for example ", entry.first));
  }
  return lines;
}

}  // namespace cuclip
