#include "worker/device.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
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
    while (poll(&readable, 1, static_cast<int>(timeout_ms)) > 0) {
      const ssize_t got = read(ends[0], buffer, sizeof(buffer));
      if (got <= 0) break;
      output.append(buffer, got);
    }
    ExitStatus status;
    if (!(*process)->WaitReaped(timeout_ms, &status) || status.exit_code != 0) output.clear();
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

std::vector<Device> CudaDevices() {
  // Set but empty hides all devices, as CUDA itself reads it.
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr && (*visible == '\0' || *visible == '-')) return {};
  const std::string smi = FindNvidiaSmi();
  std::vector<Device> devices;
  if (!smi.empty()) {
    devices = ParseNvidiaSmi(OutputOf(
        {smi, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"}, kSmiTimeoutMs));
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
  const std::string csv = OutputOf(
      {smi, "--query-gpu=ecc.errors.uncorrected.volatile.total", "--format=csv,noheader,nounits"},
      timeout_ms);
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
  const absl::StatusOr<std::string> quota = ReadFile("/sys/fs/cgroup/cpu.max");
  if (!quota.ok()) return cpus;
  const std::vector<std::string> fields = absl::StrSplit(absl::StripAsciiWhitespace(*quota), ' ');
  double used_us = 0, period_us = 0;
  if (fields.size() == 2 && absl::SimpleAtod(fields[0], &used_us) &&
      absl::SimpleAtod(fields[1], &period_us) && period_us > 0) {
    cpus = std::clamp(static_cast<int>(used_us / period_us), 1, cpus);
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
