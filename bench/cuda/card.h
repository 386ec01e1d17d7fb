// What a measurement depends on besides the code: card, driver, clocks, libraries.
#pragma once

#include <map>
#include <string>

namespace cuclip::bench {

/// Whether there is no GPU and its programs are interpreted (tests/emulator): times say nothing then.
bool emulated();

/// For the report's context, by name.
std::map<std::string, std::string> describe_card();
/// The clocks now, which differ under load: "1830 MHz of 1980 (SM), 2619 MHz of 2619 (memory)", or why they
/// are not known.
std::string clocks();

}  // namespace cuclip::bench
