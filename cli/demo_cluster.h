#ifndef LOGLOG_CLI_DEMO_CLUSTER_H_
#define LOGLOG_CLI_DEMO_CLUSTER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/child.h"
#include "cli/client.h"
#include "cli/context.h"

namespace loglog::cli {

// A coordinator and two one-slot workers on loopback, in one folder. Everything is
// killed when this object goes, and by the kernel when this process dies.
// Confined to the main thread.
class DemoCluster {
 public:
  // Starts all of it in `folder`, which exists. An error carries the tail of the log of
  // what did not start.
  static absl::StatusOr<std::unique_ptr<DemoCluster>> Start(const Io& io, std::string folder);
  ~DemoCluster();

  Client& client() { return *client_; }
  const std::string& address() const { return address_; }
  std::string store_path() const { return folder_ + "/loglog.db"; }

  // An error when a process has died that nobody killed.
  absl::Status CheckAlive();
  // SIGKILL, as the kernel's out-of-memory killer would; the cluster then starts the
  // victim again, as a supervisor would. Returns what was killed, in words; NOT_FOUND
  // when no trainer runs at this moment.
  absl::StatusOr<std::string> KillATrainer();
  absl::StatusOr<std::string> KillAWorker();
  absl::StatusOr<std::string> KillTheCoordinator();
  // Workers first, then the coordinator, politely.
  void Stop();

 private:
  DemoCluster() = default;
  absl::Status StartCoordinator(const std::string& listen);
  absl::Status StartWorker(int index);

  std::string folder_;
  std::string coordinator_binary_, worker_binary_, trainer_binary_;
  std::string address_;
  std::unique_ptr<Child> coordinator_;
  std::vector<std::unique_ptr<Child>> workers_;
  std::unique_ptr<Client> client_;
};

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_DEMO_CLUSTER_H_
