#ifndef LOGLOG_WORKER_HEALTH_H_
#define LOGLOG_WORKER_HEALTH_H_

#include <cstdint>
#include <string>
#include <vector>

namespace loglog::worker {

struct HealthOptions {
  std::string trainer;             // path of the binary
  std::vector<std::string> paths;  // folders on the file systems that are written to
  int64_t free_bytes_min = int64_t{256} << 20;
  // Of the host's memory: with less, the kernel is about to kill something.
  int64_t memory_bytes_min = int64_t{128} << 20;
  std::string meminfo_path = "/proc/meminfo";
};

// Why this host should get no work now, with the fix; empty when it is well.
std::string CheckHealth(const HealthOptions& options);

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_HEALTH_H_
