#include "worker/health.h"

#include <unistd.h>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace loglog::worker {

std::string CheckHealth(const HealthOptions& options) {
  if (access(options.trainer.c_str(), X_OK) != 0) {
    return absl::StrCat("trainer ", options.trainer,
                        " is not an executable file; install it again, or give --trainer");
  }
  for (const std::string& path : options.paths) {
    const absl::StatusOr<int64_t> free_bytes = FreeDiskBytes(path);
    if (!free_bytes.ok()) return std::string(free_bytes.status().message());
    if (*free_bytes < options.free_bytes_min) {
      return absl::StrCat("disk almost full: ", *free_bytes >> 20, " MiB free under ", path,
                          ", less than the ", options.free_bytes_min >> 20,
                          " MiB of --min-free-mb; make room there");
    }
  }
  return "";
}

}  // namespace loglog::worker
