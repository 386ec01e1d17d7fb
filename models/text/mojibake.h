// Repairs text that was UTF-8 and was read as windows-1252 or Latin-1 on its way ("cafÃ©" for "café").
#pragma once

#include <string>
#include <string_view>

namespace cuclip {

/// Decodes again what was decoded wrongly, several times over if need be. Text is touched only where a
/// sequence of characters that spells valid UTF-8 is also one that nobody writes on purpose ("Ã©", "â€™", but
/// not "É”"). If the whole text can be decoded again, all of it is; otherwise only the sequences that are
/// convincing on their own.
std::u32string fix_mojibake(std::u32string text);

}  // namespace cuclip
