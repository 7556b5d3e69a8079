#include "base/failpoint.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/check.h"

namespace loglog {
namespace {

std::function<void(const char*)>& Handler() {
  static auto* const handler = new std::function<void(const char*)>();
  return *handler;
}

}  // namespace

std::atomic<bool> failpoints_armed = false;

const std::vector<std::string>& FailpointNames() {
  static const auto* const names = new std::vector<std::string>({
      // The coordinator's transactions.
      "engine.answer.before",
      "engine.batch.applied",
      "engine.commit.before",
      "engine.grant.stored",
      "engine.reload",
      // What becomes of leases.
      "lease.expired",
      "lease.kept_by_new_boot",
      "lease.late_outcome",
      "lease.outcome",
      "lease.outcome_complete",
      "lease.returned_unstarted",
      "lease.revoked_by_new_boot",
      "lease.silent_worker",
      "lease.stale_report",
      // The worker.
      "worker.discarded",
      "worker.forgotten",
      "worker.held_taken_up",
      "worker.outcome_written",
      "worker.prepared",
      "worker.reaped",
      "worker.started",
      "worker.uploaded",
  });
  return *names;
}

void HitFailpoint(const char* name) {
  LOGLOG_CHECK(std::binary_search(FailpointNames().begin(), FailpointNames().end(), name));
  if (Handler()) Handler()(name);
}

void SetFailpointHandler(std::function<void(const char* name)> handler) {
  failpoints_armed = handler != nullptr;
  Handler() = std::move(handler);
}

absl::Status ArmFailpointFromEnvironment() {
  const char* const text = std::getenv("LOGLOG_FAILPOINT");
  if (text == nullptr) return absl::OkStatus();
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  int count = 1;
  if (!parts.second.empty() && (!absl::SimpleAtoi(parts.second, &count) || count < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("LOGLOG_FAILPOINT=", text, ": '", parts.second, "' is no count from 1"));
  }
  if (!std::binary_search(FailpointNames().begin(), FailpointNames().end(), parts.first)) {
    return absl::InvalidArgumentError(absl::StrCat("LOGLOG_FAILPOINT=", text, ": no failpoint '",
                                                   parts.first, "'; there are ",
                                                   absl::StrJoin(FailpointNames(), ", ")));
  }
  const auto left = std::make_shared<std::atomic<int>>(count);
  SetFailpointHandler([name = parts.first, left](const char* hit) {
    if (name == hit && --*left == 0) kill(getpid(), SIGKILL);
  });
  return absl::OkStatus();
}

}  // namespace loglog
