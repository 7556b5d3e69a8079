#include "worker/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <limits>

#include "base/file.h"
#include "base/limits.h"
#include "worker/clock_watch.h"
#include "worker/health.h"
#include "worker/worker_testing.h"

namespace loglog::worker {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(DeviceTest, ReadsNvidiaSmi) {
  const std::vector<Device> devices =
      ParseNvidiaSmi("NVIDIA H100 80GB HBM3, 81559\nNVIDIA GB10, [N/A]\n\n");
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].name, "cuda:0");
  EXPECT_EQ(devices[0].model, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(devices[0].memory_bytes, int64_t{81559} << 20);
  EXPECT_EQ(devices[1].name, "cuda:1");
  EXPECT_EQ(devices[1].memory_bytes, 0);
  EXPECT_TRUE(ParseNvidiaSmi("No devices were found\n").empty());
}

TEST(DeviceTest, CpuSharesAndBadFlags) {
  EXPECT_GE(UsableCpus(), 1);
  EXPECT_EQ(FindDevices("cpu", 0)->size(), static_cast<size_t>(UsableCpus()));
  EXPECT_EQ(FindDevices("cpu", 5)->size(), 5u);
  EXPECT_EQ(FindDevices("cpu", 5)->front().name, "cpu");
  EXPECT_THAT(std::string(FindDevices("tpu", 1).status().message()),
              HasSubstr("'tpu'; choose auto"));
  EXPECT_EQ(FindDevices("cpu", -1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FindDevices("cpu", 5'000).status().code(), absl::StatusCode::kInvalidArgument);
}

// A host may be shared, or have a broken GPU that its worker was told to leave alone.
TEST(DeviceTest, OnlyTheVisibleGpusAreLookedAt) {
  TempDir folder;
  const std::string smi = folder.path() + "/nvidia-smi";
  AppendTo(smi,
           "#!/bin/sh\n"
           "case \"$*\" in\n"
           "*--id=1,3*) printf '0\\n0\\n' ;;\n"
           "*--id=*) exit 1 ;;\n"
           "*) printf '0\\n0\\n7\\n0\\n' ;;\n"
           "esac\n");
  ASSERT_EQ(chmod(smi.c_str(), 0700), 0);
  unsetenv("CUDA_VISIBLE_DEVICES");
  EXPECT_EQ(ReadGpus(smi, kLongMs)->size(), 4u);
  setenv("CUDA_VISIBLE_DEVICES", "1,3", 1);
  EXPECT_EQ(ReadGpus(smi, kLongMs)->size(), 2u);
  setenv("CUDA_VISIBLE_DEVICES", "MIG-1", 1);
  EXPECT_EQ(ReadGpus(smi, kLongMs)->size(), 4u);
  unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST(DeviceTest, TheLeastQuotaOfTheCgroupsCounts) {
  TempDir root;
  const auto write = [&](const std::string& folder, const std::string& name,
                         const std::string& text) {
    EXPECT_TRUE(MakeDirs(root.path() + folder).ok());
    EXPECT_TRUE(WriteFileAtomically(root.path() + folder + "/" + name, text).ok());
  };
  const auto cpus = [&](const std::string& self) { return CgroupCpus(root.path(), self); };
  EXPECT_EQ(cpus(""), std::numeric_limits<double>::infinity());
  EXPECT_EQ(cpus("0::/\n"), std::numeric_limits<double>::infinity());
  // As under systemd: the quota is the slice's.
  write("/a.slice", "cpu.max", "300000 100000\n");
  write("/a.slice/b.scope", "cpu.max", "max 100000\n");
  EXPECT_EQ(cpus("0::/a.slice/b.scope\n"), 3);
  write("/a.slice/b.scope", "cpu.max", "50000 100000\n");
  EXPECT_EQ(cpus("0::/a.slice/b.scope\n"), 0.5);
  EXPECT_EQ(cpus("0::/a.slice\n"), 3);
  // Version 1.
  write("/cpu/batch/job", "cpu.cfs_quota_us", "-1\n");
  write("/cpu/batch/job", "cpu.cfs_period_us", "100000\n");
  write("/cpu/batch", "cpu.cfs_quota_us", "400000\n");
  write("/cpu/batch", "cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpus("9:memory:/x\n4:cpu,cpuacct:/batch/job\n"), 4);
  // In a container: the top of what is seen is its own.
  write("", "cpu.max", "200000 100000\n");
  EXPECT_EQ(cpus("0::/\n"), 2);
  EXPECT_EQ(cpus("0::/not/seen/here\n"), 2);
}

TEST(DeviceTest, AGangHasTheDevicesOfItsSlots) {
  using ::testing::ElementsAre;
  using ::testing::IsEmpty;
  const std::vector<Device> cpu(4);
  EXPECT_EQ(PlacementOf(cpu, {2}).threads, 1);
  EXPECT_EQ(PlacementOf(cpu, {2, 0, 3}).threads, 3);
  EXPECT_EQ(PlacementOf(cpu, {2, 0, 3}).device, "cpu");
  EXPECT_THAT(PlacementOf(cpu, {2, 0, 3}).devices, IsEmpty());
  // Two GPUs with two slots each.
  const std::vector<Device> gpus = {
      {.name = "cuda:0"}, {.name = "cuda:1"}, {.name = "cuda:0"}, {.name = "cuda:1"}};
  EXPECT_EQ(PlacementOf(gpus, {3}).device, "cuda:1");
  EXPECT_THAT(PlacementOf(gpus, {3}).devices, IsEmpty());
  EXPECT_THAT(PlacementOf(gpus, {1, 3}).devices, IsEmpty());
  EXPECT_EQ(PlacementOf(gpus, {3, 0, 1}).device, "cuda:1");
  EXPECT_THAT(PlacementOf(gpus, {3, 0, 1}).devices, ElementsAre("cuda:1", "cuda:0"));
  EXPECT_EQ(PlacementOf(gpus, {3, 0, 1}).threads, 1);
}

TEST(DeviceTest, AWorkerHasSoManySlots) {
  EXPECT_EQ(FindDevices("cpu", limits::kSlotsOfWorkerMax)->size(), limits::kSlotsOfWorkerMax);
  EXPECT_THAT(std::string(FindDevices("cpu", limits::kSlotsOfWorkerMax + 1).status().message()),
              HasSubstr("--slots is 1025; choose 1 to 1024"));
}

TEST(DeviceTest, HiddenGpusAreNotUsed) {
  const char* before = getenv("CUDA_VISIBLE_DEVICES");
  const std::string kept = before == nullptr ? "" : before;
  setenv("CUDA_VISIBLE_DEVICES", "", 1);
  EXPECT_EQ(FindDevices("auto", 1)->front().name, "cpu");
  EXPECT_THAT(std::string(FindDevices("cuda", 1).status().message()), HasSubstr("--device cpu"));
  if (before == nullptr) unsetenv("CUDA_VISIBLE_DEVICES");
  if (before != nullptr) setenv("CUDA_VISIBLE_DEVICES", kept.c_str(), 1);
}

// T18: a host that cannot work must say so instead of eating the queue.
TEST(HealthTest, T18_full_disk_and_missing_trainer) {
  TempDir dir;
  const std::string trainer = "/bin/true";
  EXPECT_EQ(CheckHealth({.trainer = trainer, .paths = {dir.path()}, .free_bytes_min = 1}), "");
  EXPECT_THAT(
      CheckHealth({.trainer = trainer, .paths = {dir.path()}, .free_bytes_min = int64_t{1} << 60}),
      AllOf(HasSubstr("disk almost full"), HasSubstr(dir.path()), HasSubstr("make room")));
  EXPECT_THAT(CheckHealth({.trainer = dir.path() + "/none", .paths = {}}),
              AllOf(HasSubstr(dir.path() + "/none"), HasSubstr("--trainer")));
  EXPECT_THAT(CheckHealth({.trainer = trainer, .paths = {"/no/such"}}), HasSubstr("/no/such"));
}

TEST(HealthTest, MemoryThatIsAlmostUsedUp) {
  TempDir dir;
  HealthOptions options{.trainer = "/bin/true", .meminfo_path = dir.path() + "/meminfo"};
  const auto with = [&](const std::string& text) {
    EXPECT_TRUE(ReplaceFile(options.meminfo_path, text).ok());
    return CheckHealth(options);
  };
  EXPECT_EQ(CheckHealth(options), "");  // it does not say
  EXPECT_EQ(with("MemTotal:  16000000 kB\nMemAvailable:    900000 kB\n"), "");
  EXPECT_THAT(with("MemTotal:  16000000 kB\nMemAvailable:    100000 kB\n"),
              AllOf(HasSubstr("memory almost used up: 97 MiB"), HasSubstr("--slots")));
  EXPECT_EQ(with("MemAvailable: many\n"), "");
  EXPECT_EQ(CheckHealth({.trainer = "/bin/true"}), "");  // this host
}

TEST(ClockWatchTest, JumpsAndDriftAreToldOnceEach) {
  constexpr int64_t kHourMs = 3'600'000;
  FakeClock clock;
  ClockWatch watch(clock.monotonic_ms(), clock.wall_ms());
  const auto look = [&] { return watch.Look(clock.monotonic_ms(), clock.wall_ms()); };
  clock.Advance(kHourMs);
  EXPECT_EQ(look(), "");
  clock.StepWall(-kHourMs);
  EXPECT_THAT(look(), AllOf(HasSubstr("moved by -3600000 ms"), HasSubstr("timedatectl")));
  EXPECT_EQ(look(), "");
  clock.StepWall(ClockWatch::kBoundMs);
  EXPECT_EQ(look(), "");
  clock.StepWall(1);  // it adds up
  EXPECT_THAT(look(), HasSubstr("moved by +5001 ms"));
  EXPECT_EQ(look(), "");
}

}  // namespace
}  // namespace loglog::worker
