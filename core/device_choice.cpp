#include "core/device_choice.h"

#include <charconv>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

constexpr std::string_view kNumbered = "cuda:";

// Why this GPU cannot be made the current one, for a message; empty if it can.
std::string number_problem(int gpu) {
  const int count = gpu_count();
  if (gpu < count) return "";
  return count == 1 ? "this machine has one GPU, cuda:0"
                    : fmt::format("this machine has {} GPUs, up to cuda:{}", count, count - 1);
}

}  // namespace

DeviceChoice parse_device(std::string_view name, std::string_view text) {
  if (text.starts_with(kNumbered)) {
    DeviceChoice choice{DeviceChoice::Kind::cuda};
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + kNumbered.size(), end, choice.gpu);
    CUCLIP_CHECK(error == std::errc() && rest == end && choice.gpu >= 0,
                 "{}: expected a GPU's number after \"cuda:\", counted from 0, got \"{}\"", name, text);
    return choice;
  }
  const auto kind = find_word<DeviceChoice::Kind>(text);
  CUCLIP_CHECK(kind, "{} must be one of {}, cuda:N, got \"{}\"", name,
               fmt::join(kWords<DeviceChoice::Kind>, ", "), text);
  return {*kind};
}

std::string to_text(const DeviceChoice& choice) {
  if (choice.gpu == kCurrentGpu) return std::string(word(choice.kind));
  return fmt::format("{}{}", kNumbered, choice.gpu);
}

Device choose_device(const DeviceChoice& choice) {
  if (choice.kind == DeviceChoice::Kind::cpu) return Device::cpu;
  std::string problem;
  if (choice.gpu != kCurrentGpu && gpu_count() > 0) {
    problem = number_problem(choice.gpu);
    if (problem.empty()) make_gpu_current(choice.gpu);
  }
  if (problem.empty()) problem = cuda_problem();
  CUCLIP_CHECK(choice.kind == DeviceChoice::Kind::automatic || problem.empty(),
               "device {}: {}; use device cpu, or auto", to_text(choice), problem);
  return problem.empty() ? Device::cuda : Device::cpu;
}

}  // namespace cuclip
