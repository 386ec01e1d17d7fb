#include "runtime/settings.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <thread>

namespace emu {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

}  // namespace

void refuse(const std::string& what) {
  std::fprintf(stderr, "emulate: %s\n", what.c_str());
  std::_Exit(2);
}

Settings read_settings() {
  Settings settings;
  const std::string which = environment("EMULATE_DEVICE"), check = environment("EMULATE_CHECK");
  const std::string schedule = environment("EMULATE_SCHEDULE"), threads = environment("EMULATE_THREADS");
  static const std::map<std::string, int> capabilities = {{"", 80}, {"a100", 80}, {"h100", 90}, {"t4", 75}};
  const auto known = capabilities.find(which);
  if (known == capabilities.end()) refuse("device '" + which + "': a100, h100 or t4");
  settings.capability = known->second;
  Options& options = settings.options;
  if (check == "none") options.check = CheckLevel::none;
  if (check == "full") options.check = CheckLevel::full;
  if (!check.empty() && check != "none" && check != "full" && check != "memory")
    refuse("check '" + check + "': none, memory or full");
  if (schedule.rfind("random:", 0) == 0) {
    options.random_schedule = true;
    options.seed = std::strtoull(schedule.c_str() + 7, nullptr, 10);
  } else if (!schedule.empty() && schedule != "fixed") {
    refuse("schedule '" + schedule + "': fixed or random:SEED");
  }
  options.threads =
      threads.empty() ? static_cast<int>(std::thread::hardware_concurrency()) : std::atoi(threads.c_str());
  if (options.threads < 1) options.threads = 1;
  options.profile = environment("EMULATE_PROFILE");
  const std::string limit = environment("EMULATE_MAX_INSTRUCTIONS"), devices = environment("EMULATE_DEVICES");
  if (!limit.empty()) options.max_instructions = std::strtoull(limit.c_str(), nullptr, 10);
  const std::string patience = environment("EMULATE_PATIENCE");
  if (!patience.empty()) options.patience = std::max(0.0, std::strtod(patience.c_str(), nullptr));
  if (!devices.empty()) settings.device_count = std::max(0, std::atoi(devices.c_str()));
  const std::string blocks = environment("EMULATE_BLOCKS");
  if (!blocks.empty()) options.edge_blocks = static_cast<u32>(std::strtoul(blocks.c_str(), nullptr, 10));
  const std::string memory = environment("EMULATE_MEMORY"), driver = environment("EMULATE_DRIVER");
  if (!memory.empty()) settings.memory = std::strtoull(memory.c_str(), nullptr, 10) << 20;
  if (!driver.empty()) settings.driver = std::atoi(driver.c_str());
  const std::string context = environment("EMULATE_CONTEXT");
  if (context == "full") settings.no_context = cudaErrorMemoryAllocation;
  if (context == "busy") settings.no_context = cudaErrorDevicesUnavailable;
  return settings;
}

}  // namespace emu
