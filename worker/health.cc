#include "worker/health.h"

#include <unistd.h>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"

namespace loglog::worker {

namespace {

// -1 when the file does not say.
int64_t AvailableMemory(const std::string& meminfo_path) {
  const absl::StatusOr<std::string> text = ReadFile(meminfo_path);
  if (!text.ok()) return -1;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    int64_t kibibytes = 0;
    if (absl::ConsumePrefix(&line, "MemAvailable:") && absl::ConsumeSuffix(&line, "kB") &&
        absl::SimpleAtoi(absl::StripAsciiWhitespace(line), &kibibytes)) {
      return kibibytes << 10;
    }
  }
  return -1;
}

}  // namespace

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
  const int64_t memory_bytes = AvailableMemory(options.meminfo_path);
  if (memory_bytes >= 0 && memory_bytes < options.memory_bytes_min) {
    return absl::StrCat("memory almost used up: ", memory_bytes >> 20,
                        " MiB available on this host, less than ", options.memory_bytes_min >> 20,
                        " MiB; end what else runs there, or give the worker fewer --slots");
  }
  return "";
}

}  // namespace loglog::worker
