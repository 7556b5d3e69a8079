#ifndef LOGLOG_WORKER_DEVICE_WATCH_H_
#define LOGLOG_WORKER_DEVICE_WATCH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/device.h"
#include "worker/outcome.h"

namespace loglog::worker {

// Whether the devices of this host can be trusted with work, by two signs: trainers that
// leave with a device error (exit 40) again and again in one slot, and what nvidia-smi says.
// Not thread-safe; the supervisor's thread owns it.
class DeviceWatch {
 public:
  // So many device errors in a row, and the slot keeps work away from this worker ...
  static constexpr int kErrorsInRow = 3;
  // ... for so long; doubled when the next trainer there ends so, too.
  static constexpr int64_t kSickMsMin = 60'000;
  static constexpr int64_t kSickMsMax = 3'600'000;
  // One look that fails may be chance.
  static constexpr int kFailedLooks = 2;

  // `devices`: one for each slot.
  explicit DeviceWatch(const std::vector<Device>& devices);

  void OnEnded(int slot, const Outcome& outcome, int64_t now_ms);
  void OnReadings(const absl::StatusOr<std::vector<GpuReading>>& readings);

  // Why this worker should get no work, with the fix; empty when it is well. Stays the same
  // text for as long as it is the same problem.
  std::string Problem(int64_t now_ms) const;

 private:
  struct SlotHealth {
    std::string device;
    int errors_in_row = 0;
    int64_t sick_ms = 0;  // the last wait
    int64_t sick_until_ms = 0;
    std::string last_error;
  };

  std::vector<SlotHealth> slots_;
  int failed_looks_ = 0;
  std::string reading_problem_;
  std::vector<GpuReading> baseline_;  // the first that was read, less what was reset since
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_DEVICE_WATCH_H_
