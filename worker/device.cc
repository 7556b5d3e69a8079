#include "worker/device.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/duration.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/status.h"
#include "base/subprocess.h"

namespace loglog::worker {
namespace {

constexpr int64_t kSmiTimeoutMs = 20'000;
constexpr int64_t kKilledMs = 1'000;  // for what was killed to be gone

std::string FindInPath(const std::string& program) {
  const char* path = std::getenv("PATH");
  for (absl::string_view dir : absl::StrSplit(path == nullptr ? "" : path, ':')) {
    const std::string candidate = absl::StrCat(dir.empty() ? "." : dir, "/", program);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

// What a program writes to its standard output; empty when it fails.
std::string OutputOf(std::vector<std::string> argv, int64_t timeout_ms) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return "";
  auto process = Subprocess::Spawn({.argv = std::move(argv), .stdout_fd = ends[1]});
  close(ends[1]);
  std::string output;
  if (process.ok()) {
    char buffer[4096];
    pollfd readable = {.fd = ends[0], .events = POLLIN, .revents = 0};
    bool answers = true;
    while ((answers = poll(&readable, 1, static_cast<int>(timeout_ms)) > 0)) {
      const ssize_t got = read(ends[0], buffer, sizeof(buffer));
      if (got <= 0) break;
      output.append(buffer, got);
    }
    if (!answers) (*process)->KillGroup();
    ExitStatus status;
    if (!(*process)->WaitReaped(answers ? timeout_ms : kKilledMs, &status) ||
        status.exit_code != 0) {
      output.clear();
    }
  }
  close(ends[0]);
  return output;
}

// Device files, for hosts whose driver comes without nvidia-smi.
std::vector<Device> CountDeviceFiles() {
  std::vector<Device> devices;
  const absl::StatusOr<std::vector<std::string>> names = ListDir("/dev");
  if (!names.ok()) return devices;
  for (const std::string& name : *names) {
    int number = 0;
    if (absl::StartsWith(name, "nvidia") &&
        absl::SimpleAtoi(absl::StripPrefix(name, "nvidia"), &number)) {
      devices.push_back({.name = absl::StrCat("cuda:", devices.size()), .model = "NVIDIA GPU"});
    }
  }
  return devices;
}

// nvidia-smi, asked about the GPUs that CUDA_VISIBLE_DEVICES leaves to this process: of others it
// is all the same whether they are sound. About all where that names none, or as nvidia-smi does
// not.
std::vector<std::string> SmiQuery(const std::string& smi, absl::string_view query) {
  std::vector<std::string> argv = {smi, absl::StrCat("--query-gpu=", query),
                                   "--format=csv,noheader,nounits"};
  const char* const visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible == nullptr) return argv;
  const std::vector<std::string> ids = absl::StrSplit(visible, ',');
  const bool known = std::all_of(ids.begin(), ids.end(), [](absl::string_view id) {
    int number = 0;
    return absl::StartsWith(id, "GPU-") || (absl::SimpleAtoi(id, &number) && number >= 0);
  });
  if (known) argv.push_back(absl::StrCat("--id=", visible));
  return argv;
}

std::vector<Device> CudaDevices() {
  // Set but empty hides all devices, as CUDA itself reads it.
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr && (*visible == '\0' || *visible == '-')) return {};
  const std::string smi = FindNvidiaSmi();
  std::vector<Device> devices;
  if (!smi.empty()) {
    devices = ParseNvidiaSmi(OutputOf(SmiQuery(smi, "name,memory.total"), kSmiTimeoutMs));
  }
  if (devices.empty()) devices = CountDeviceFiles();
  if (visible != nullptr) {
    // The trainer numbers what it can see from 0.
    const size_t count = std::vector<std::string>(absl::StrSplit(visible, ',')).size();
    if (count < devices.size()) devices.resize(count);
  }
  return devices;
}

std::string CpuModel() {
  const absl::StatusOr<std::string> info = ReadFile("/proc/cpuinfo");
  if (!info.ok()) return "CPU";
  for (absl::string_view line : absl::StrSplit(*info, '\n')) {
    if (!absl::StartsWith(line, "model name")) continue;
    return std::string(absl::StripAsciiWhitespace(line.substr(line.find(':') + 1)));
  }
  return "CPU";
}

}  // namespace

std::vector<Device> ParseNvidiaSmi(const std::string& csv) {
  std::vector<Device> devices;
  for (absl::string_view line : absl::StrSplit(csv, '\n', absl::SkipWhitespace())) {
    const size_t comma = line.rfind(',');
    if (comma == absl::string_view::npos) continue;
    int64_t mebibytes = 0;
    // Devices with unified memory answer "[N/A]".
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(line.substr(comma + 1)), &mebibytes)) {
      mebibytes = 0;
    }
    devices.push_back({.name = absl::StrCat("cuda:", devices.size()),
                       .model = std::string(absl::StripAsciiWhitespace(line.substr(0, comma))),
                       .memory_bytes = mebibytes << 20});
  }
  return devices;
}

std::string FindNvidiaSmi() { return FindInPath("nvidia-smi"); }

absl::StatusOr<std::vector<GpuReading>> ReadGpus(const std::string& smi, int64_t timeout_ms) {
  const std::string csv =
      OutputOf(SmiQuery(smi, "ecc.errors.uncorrected.volatile.total"), timeout_ms);
  if (csv.empty()) {
    return absl::UnavailableError(
        absl::StrCat(smi, " does not answer within ", FormatDurationMs(timeout_ms), ", or fails"));
  }
  std::vector<GpuReading> readings;
  for (absl::string_view line : absl::StrSplit(csv, '\n', absl::SkipWhitespace())) {
    GpuReading reading;
    if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(line), &reading.uncorrected_errors)) {
      reading.uncorrected_errors = -1;
    }
    readings.push_back(reading);
  }
  return readings;
}

int UsableCpus() {
  cpu_set_t set;
  int cpus = 1;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) cpus = std::max(1, CPU_COUNT(&set));
  const absl::StatusOr<std::string> self = ReadFile("/proc/self/cgroup");
  const double quota = CgroupCpus("/sys/fs/cgroup", self.ok() ? *self : "0::/");
  return quota < cpus ? std::max(1, static_cast<int>(quota)) : cpus;
}

double CgroupCpus(const std::string& root, const std::string& self) {
  double cpus = std::numeric_limits<double>::infinity();
  const auto limit = [&](const std::string& quota, const std::string& period) {
    double quota_us = 0, period_us = 0;  // "max" and -1 are no quota
    if (absl::SimpleAtod(quota, &quota_us) && absl::SimpleAtod(period, &period_us) &&
        quota_us > 0 && period_us > 0) {
      cpus = std::min(cpus, quota_us / period_us);
    }
  };
  const auto text = [](const std::string& path) {
    const absl::StatusOr<std::string> read = ReadFile(path);
    return read.ok() ? std::string(absl::StripAsciiWhitespace(*read)) : "";
  };
  for (absl::string_view line : absl::StrSplit(self, '\n', absl::SkipEmpty())) {
    // <id>:<controllers>:<path>; version 2 has no controllers.
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3 || !absl::StartsWith(fields[2], "/")) continue;
    const std::vector<std::string> controllers = absl::StrSplit(fields[1], ',');
    const bool has_cpu =
        std::find(controllers.begin(), controllers.end(), "cpu") != controllers.end();
    if (!fields[1].empty() && !has_cpu) continue;
    // Up to the root: in a container the path may be the host's, of which that is what is seen.
    for (std::string path = fields[2] == "/" ? "" : fields[2];; path.resize(path.rfind('/'))) {
      const std::string at = absl::StrCat(root, has_cpu ? "/cpu" : "", path);
      if (has_cpu) {
        limit(text(at + "/cpu.cfs_quota_us"), text(at + "/cpu.cfs_period_us"));
      } else {
        const std::pair<std::string, std::string> both =
            absl::StrSplit(text(at + "/cpu.max"), absl::MaxSplits(' ', 1));
        limit(both.first, both.second);
      }
      if (path.empty()) break;
    }
  }
  return cpus;
}

Placement PlacementOf(const std::vector<Device>& devices, const std::vector<int>& slots) {
  Placement placement{.device = devices[slots.front()].name};
  for (const int slot : slots) {
    std::vector<std::string>& names = placement.devices;
    const std::string& name = devices[slot].name;
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  if (placement.devices.size() == 1) placement.devices.clear();
  if (placement.device == "cpu") placement.threads = static_cast<int>(slots.size());
  return placement;
}

absl::StatusOr<std::vector<Device>> FindDevices(const std::string& kind, int slots) {
  if (kind != "auto" && kind != "cpu" && kind != "cuda") {
    return absl::InvalidArgumentError(
        absl::StrCat("--device is '", kind, "'; choose auto, cpu or cuda"));
  }
  if (slots < 0 || slots > limits::kSlotsOfWorkerMax) {
    return absl::InvalidArgumentError(absl::StrCat("--slots is ", slots, "; choose 1 to ",
                                                   limits::kSlotsOfWorkerMax, ", or 0 for all"));
  }
  std::vector<Device> found;
  if (kind != "cpu") found = CudaDevices();
  if (found.empty() && kind == "cuda") {
    return absl::FailedPreconditionError(
        "--device is cuda, but no CUDA device is visible here; see nvidia-smi and "
        "CUDA_VISIBLE_DEVICES, or use --device cpu");
  }
  if (found.empty()) found.assign(slots > 0 ? slots : UsableCpus(), Device{.model = CpuModel()});
  std::vector<Device> devices;
  const size_t count = slots > 0 ? slots : found.size();
  for (size_t i = 0; i < count; ++i) devices.push_back(found[i % found.size()]);
  return devices;
}

}  // namespace loglog::worker
