#ifndef LOGLOG_WORKER_SURVIVOR_H_
#define LOGLOG_WORKER_SURVIVOR_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog::worker {

// A line that identifies a living process beyond its pid: "<pid> <start ticks> <boot id
// of the kernel>". NOT_FOUND when there is no such process.
absl::StatusOr<std::string> DescribeProcess(pid_t pid);

using KillFunction = int (*)(pid_t pid, int signal);  // as kill(2)

// SIGKILL to the group of the process so described, if it still is that process and
// leads a group of its own; returns when it is gone. OK when there is nothing to kill.
// DEADLINE_EXCEEDED: it did not go in `timeout_ms`.
absl::Status KillRecordedProcess(absl::string_view identity, int64_t timeout_ms,
                                 KillFunction kill_function);

// A trainer of an earlier daemon that SIGKILL did not end.
struct Survivor {
  std::string identity;
  std::string record;  // path of the file that holds it
};

// Drops the survivors that have ended, and their records. Why the host should get no
// work while one lives; empty when none does.
std::string CheckSurvivors(std::vector<Survivor>* survivors);

// What to say of a process that SIGKILL does not end, and what to do about it.
std::string ProcessDoesNotEnd(pid_t pid);

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_SURVIVOR_H_
