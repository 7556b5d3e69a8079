#include "cli/demo_cluster.h"

#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/binaries.h"
#include "cli/live.h"

namespace loglog::cli {
namespace {

constexpr int kWorkers = 2;
constexpr int64_t kStartTimeoutMs = 30'000;
constexpr int64_t kStopTimeoutMs = 12'000;

// Short leases: on one machine a lost worker is known to be lost soon.
constexpr char kLease[] = "10s";
constexpr char kLeaseMargin[] = "2s";

// Waits until `child` has written `path`; returns its first line.
absl::StatusOr<std::string> WaitForFile(const std::string& path, Child& child) {
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    std::ifstream file(path);
    std::string line;
    if (file && std::getline(file, line)) return std::string(absl::StripAsciiWhitespace(line));
    if (!child.Running()) return child.Failure("is not ready");
    if (InterruptGuard::Interrupted()) return absl::CancelledError("interrupted while starting");
    if (std::chrono::steady_clock::now() - start > std::chrono::milliseconds(kStartTimeoutMs)) {
      return child.Failure(absl::StrCat("is not ready after ", kStartTimeoutMs / 1000, " s"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<DemoCluster>> DemoCluster::Start(const Io& io, std::string folder) {
  std::unique_ptr<DemoCluster> cluster(new DemoCluster());
  cluster->folder_ = std::move(folder);
  LOGLOG_ASSIGN_OR_RETURN(cluster->coordinator_binary_, FindBinary(io, "loglog-coordinator"));
  LOGLOG_ASSIGN_OR_RETURN(cluster->worker_binary_, FindBinary(io, "loglog-worker"));
  LOGLOG_ASSIGN_OR_RETURN(cluster->trainer_binary_, FindBinary(io, "loglog-trainer"));
  LOGLOG_RETURN_IF_ERROR(cluster->StartCoordinator("127.0.0.1:0"));
  LOGLOG_ASSIGN_OR_RETURN(
      cluster->client_,
      Client::Create({.address = cluster->address_, .deadline_ms = 10'000, .tries = 6}));
  cluster->workers_.resize(kWorkers);
  for (int i = 0; i < kWorkers; ++i) LOGLOG_RETURN_IF_ERROR(cluster->StartWorker(i));
  return cluster;
}

DemoCluster::~DemoCluster() {
  for (auto& worker : workers_) {
    if (worker != nullptr) worker->Kill();
  }
  if (coordinator_ != nullptr) coordinator_->Kill();
}

absl::Status DemoCluster::StartCoordinator(const std::string& listen) {
  const std::string ready = absl::StrCat(folder_, "/coordinator.ready");
  std::filesystem::remove(ready);
  LOGLOG_ASSIGN_OR_RETURN(
      coordinator_,
      Child::Start("the coordinator",
                   {coordinator_binary_, "--store", store_path(), "--listen", listen,
                    "--ready-file", ready, "--lease", kLease, "--lease-margin", kLeaseMargin},
                   absl::StrCat(folder_, "/coordinator.log")));
  LOGLOG_ASSIGN_OR_RETURN(address_, WaitForFile(ready, *coordinator_));
  return absl::OkStatus();
}

absl::Status DemoCluster::StartWorker(int index) {
  const std::string name = absl::StrCat("demo-", index + 1);
  const std::string ready = absl::StrCat(folder_, "/", name, ".ready");
  std::filesystem::remove(ready);
  LOGLOG_ASSIGN_OR_RETURN(
      workers_[index],
      Child::Start(absl::StrCat("worker ", name),
                   {worker_binary_, "--coordinator", address_, "--run-dir",
                    absl::StrCat(folder_, "/", name), "--slots", "1", "--name", name, "--data-root",
                    folder_, "--trainer", trainer_binary_, "--ready-file", ready},
                   absl::StrCat(folder_, "/", name, ".log"),
                   // What says how to reach another coordinator is not for this one.
                   {"LOGLOG_TLS_CA=", "LOGLOG_TLS_CERT=", "LOGLOG_TLS_KEY=", "LOGLOG_TOKEN=",
                    "LOGLOG_TOKEN_FILE="}));
  return WaitForFile(ready, *workers_[index]).status();
}

absl::Status DemoCluster::CheckAlive() {
  if (!coordinator_->Running()) return coordinator_->Failure("");
  for (auto& worker : workers_) {
    if (!worker->Running()) return worker->Failure("");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> DemoCluster::KillATrainer() {
  for (const auto& worker : workers_) {
    for (const pid_t trainer : ChildrenOf(worker->pid())) {
      if (kill(trainer, SIGKILL) == 0) return absl::StrCat("a trainer (process ", trainer, ")");
    }
  }
  return absl::NotFoundError("no trainer runs at this moment");
}

absl::StatusOr<std::string> DemoCluster::KillAWorker() {
  const pid_t pid = workers_[0]->pid();
  workers_[0]->Kill();
  LOGLOG_RETURN_IF_ERROR(StartWorker(0));
  return absl::StrCat("worker demo-1 and its trainer (process ", pid, ")");
}

absl::StatusOr<std::string> DemoCluster::KillTheCoordinator() {
  const pid_t pid = coordinator_->pid();
  coordinator_->Kill();
  // Workers know it by its address, so it comes back at the same one.
  LOGLOG_RETURN_IF_ERROR(StartCoordinator(address_));
  return absl::StrCat("the coordinator (process ", pid, ")");
}

void DemoCluster::Stop() {
  for (auto& worker : workers_) worker->Stop(kStopTimeoutMs);
  coordinator_->Stop(kStopTimeoutMs);
}

}  // namespace loglog::cli
