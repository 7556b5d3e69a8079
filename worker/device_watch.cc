#include "worker/device_watch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/duration.h"

namespace loglog::worker {
namespace {

constexpr int kExitDeviceError = 40;

// Says something about the device: it did its work, or did not.
bool TellsOfTheDevice(const Outcome& outcome) {
  return outcome.kind != Outcome::Kind::kLost && outcome.kind != Outcome::Kind::kStopped &&
         outcome.kind != Outcome::Kind::kRefused && outcome.kind != Outcome::Kind::kDeviceError;
}

}  // namespace

DeviceWatch::DeviceWatch(const std::vector<Device>& devices) {
  for (const Device& device : devices) slots_.push_back({.device = device.name});
}

void DeviceWatch::OnEnded(int slot, const Outcome& outcome, int64_t now_ms) {
  SlotHealth& health = slots_[slot];
  if (outcome.exit_code != kExitDeviceError) {
    if (TellsOfTheDevice(outcome)) health = {.device = health.device};
    return;
  }
  health.last_error = outcome.message;
  if (++health.errors_in_row < kErrorsInRow) return;
  health.sick_ms = std::clamp(2 * health.sick_ms, kSickMsMin, kSickMsMax);
  health.sick_until_ms = now_ms + health.sick_ms;
}

void DeviceWatch::OnReadings(const absl::StatusOr<std::vector<GpuReading>>& readings) {
  if (!readings.ok()) {
    if (++failed_looks_ < kFailedLooks) return;
    reading_problem_ =
        absl::StrCat(readings.status().message(),
                     "; a GPU or its driver hangs: look for Xid in the kernel's log, then reset "
                     "the GPU or start the host again");
    return;
  }
  failed_looks_ = 0;
  reading_problem_.clear();
  if (readings->size() < baseline_.size()) {
    reading_problem_ = absl::StrCat(
        "nvidia-smi shows ", readings->size(), " of ", baseline_.size(),
        " GPUs, so one fell off its bus: look for Xid in the kernel's log, then start the host "
        "again");
    return;
  }
  for (size_t i = 0; i < readings->size(); ++i) {
    const int64_t errors = (*readings)[i].uncorrected_errors;
    if (i == baseline_.size()) baseline_.push_back({errors});
    if (errors < 0) continue;  // it does not tell
    int64_t& known = baseline_[i].uncorrected_errors;
    // A reset clears the count.
    if (known < 0 || errors < known) known = errors;
    if (errors == known || !reading_problem_.empty()) continue;
    reading_problem_ =
        absl::StrCat("GPU ", i, " of nvidia-smi has had ", errors - known,
                     " memory errors that ECC could not correct since this worker started; drain "
                     "the worker, then use nvidia-smi --gpu-reset, or exchange the GPU");
  }
}

std::string DeviceWatch::Problem(int64_t now_ms) const {
  for (size_t i = 0; i < slots_.size(); ++i) {
    const SlotHealth& health = slots_[i];
    if (now_ms >= health.sick_until_ms) continue;
    return absl::StrCat(
        "slot ", i, " (", health.device, "): ", health.errors_in_row,
        " trainers in a row ended with a device error (", health.last_error,
        "); look at nvidia-smi and for Xid in the kernel's log, reset the GPU, or start the "
        "worker without it (CUDA_VISIBLE_DEVICES); the next try is after ",
        FormatDurationMs(health.sick_ms));
  }
  return reading_problem_;
}

}  // namespace loglog::worker
