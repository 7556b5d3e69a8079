#ifndef LOGLOG_WORKER_DEVICE_H_
#define LOGLOG_WORKER_DEVICE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace loglog::worker {

// What one slot computes on.
struct Device {
  std::string name = "cpu";  // "cpu" or "cuda:0", as the trainer takes it
  std::string model;         // for people
  int64_t memory_bytes = 0;  // 0 when unknown
};

// What a trainer that holds one or several slots computes on.
struct Placement {
  std::string device = "cpu";        // of the lead
  std::vector<std::string> devices;  // all of them, when they are several
  int threads = 1;
};

// Of the trainer in these slots, the lead first: on the CPU it has the sum of their shares.
Placement PlacementOf(const std::vector<Device>& devices, const std::vector<int>& slots);

// The devices of `slots` slots (0: as many as there are). `kind` is "cpu", "cuda" or
// "auto": the CUDA devices that are visible here, else the CPU in one-thread shares.
// More slots than CUDA devices share them in turn. FAILED_PRECONDITION: "cuda" without
// a CUDA device. INVALID_ARGUMENT: an unknown kind or a number out of range.
absl::StatusOr<std::vector<Device>> FindDevices(const std::string& kind, int slots);

// CPUs that this process may use: its affinity mask and its cgroups' quotas, at least 1.
int UsableCpus();

// The least quota, in CPUs, of the cgroups that `self` names, as /proc/<pid>/cgroup writes them,
// and of those above them; infinity without one. `root` is where they are mounted, of either
// version.
double CgroupCpus(const std::string& root, const std::string& self);

// What nvidia-smi says about the health of one GPU.
struct GpuReading {
  int64_t uncorrected_errors = 0;  // of its memory, since its last reset; -1: it does not tell
};

// The path of nvidia-smi; empty when this host has none.
std::string FindNvidiaSmi();

// One for each GPU that CUDA_VISIBLE_DEVICES leaves to this process. UNAVAILABLE: `smi` fails, or
// does not answer in `timeout_ms`.
absl::StatusOr<std::vector<GpuReading>> ReadGpus(const std::string& smi, int64_t timeout_ms);

// The answer of `nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits`.
std::vector<Device> ParseNvidiaSmi(const std::string& csv);

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_DEVICE_H_
