#include "base/failpoint.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/check.h"

namespace loglog {

const std::vector<std::string>& FailpointNames() {
  static const auto* const names = new std::vector<std::string>({
      // The coordinator's transactions.
      "engine.answer.before",
      "engine.batch.applied",
      "engine.commit.before",
      "engine.commit.failed",
      "engine.grant.stored",
      "engine.reload",
      // What becomes of leases.
      "lease.cell_failed_on_workers",
      "lease.expired",
      "lease.failure_retried",
      "lease.failures_spent",
      "lease.found_at_start",
      "lease.found_cancelled",
      "lease.found_stopping",
      "lease.held_ended",
      "lease.held_live",
      "lease.kept_by_new_boot",
      "lease.kept_by_same_boot",
      "lease.late_cancelled",
      "lease.late_ignored",
      "lease.late_incomplete",
      "lease.late_outcome",
      "lease.late_report",
      "lease.losses_spent",
      "lease.lost",
      "lease.lost_cancelled",
      "lease.lost_complete",
      "lease.order_repeated",
      "lease.order_with_forget",
      "lease.outcome_cancelled",
      "lease.outcome_complete",
      "lease.outcome_device_error",
      "lease.outcome_failed",
      "lease.outcome_lost",
      "lease.outcome_made_room",
      "lease.outcome_refused",
      "lease.outcome_stopped",
      "lease.outcome_without_results",
      "lease.owed_not_returned",
      "lease.owed_renewed",
      "lease.renewed",
      "lease.returned_unstarted",
      "lease.revoked_by_new_boot",
      "lease.silence_kept",
      "lease.silent_worker",
      "lease.stale_report",
      "lease.stale_session",
      "lease.stale_stream",
      "lease.stop_asked",
      "lease.told_to_kill",
      "lease.worker_left",
      "lease.worker_quarantined",
      // What attempts write: fenced off, repeated, superseded, corrected.
      "store.batch_fenced",
      "store.batch_gap",
      "store.batch_repeated",
      "store.batch_unknown",
      "store.end_corrected",
      "store.end_refused",
      "store.points_superseded",
      // The worker: its slots, its trainers, what it owes.
      "worker.discarded",
      "worker.forgotten",
      "worker.grace_kill",
      "worker.guard_kill",
      "worker.held_taken_up",
      "worker.lease_kill",
      "worker.order_while_busy",
      "worker.outcome_written",
      "worker.prepared",
      "worker.reaped",
      "worker.stale_word",
      "worker.started",
      "worker.told_to_abandon",
      "worker.told_to_discard",
      "worker.told_to_stop",
      "worker.uploaded",
  });
  return *names;
}

namespace {

std::function<void(const char*)>& Handler() {
  static auto* const handler = new std::function<void(const char*)>();
  return *handler;
}

// One failpoint in the file of counts: memory that all processes share and that outlives
// those that are killed.
struct CountRecord {
  std::atomic<int64_t> count;
  char name[56];
};
static_assert(sizeof(CountRecord) == 64 && std::atomic<int64_t>::is_always_lock_free);

// The file that the variable LOGLOG_FAILPOINT_COUNTS names; null without it.
CountRecord* MapCounts() {
  const char* const path = std::getenv("LOGLOG_FAILPOINT_COUNTS");
  if (path == nullptr) return nullptr;
  const size_t size = FailpointNames().size() * sizeof(CountRecord);
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  void* at = MAP_FAILED;
  if (fd >= 0 && ftruncate(fd, static_cast<off_t>(size)) == 0) {
    at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  }
  if (at == MAP_FAILED) {
    // Counts that are not kept would be taken for places that nobody reaches.
    std::fprintf(stderr, "LOGLOG_FAILPOINT_COUNTS=%s: %s; name a file that can be written\n", path,
                 std::strerror(errno));
    std::abort();
  }
  close(fd);
  auto* const records = static_cast<CountRecord*>(at);
  for (size_t i = 0; i < FailpointNames().size(); ++i) {
    const std::string& name = FailpointNames()[i];
    LOGLOG_CHECK(name.size() < sizeof(records[i].name));
    // Every process writes the same bytes, so it does not matter which is the last.
    std::memcpy(records[i].name, name.c_str(), name.size() + 1);
  }
  return records;
}

CountRecord* const count_records = MapCounts();

}  // namespace

std::atomic<bool> failpoints_armed = count_records != nullptr;

void HitFailpoint(const char* name) {
  const std::vector<std::string>& names = FailpointNames();
  const auto at = std::lower_bound(names.begin(), names.end(), name);
  LOGLOG_CHECK(at != names.end() && *at == name);
  if (count_records != nullptr) ++count_records[at - names.begin()].count;
  if (Handler()) Handler()(name);
}

void SetFailpointHandler(std::function<void(const char* name)> handler) {
  failpoints_armed = handler != nullptr || count_records != nullptr;
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
