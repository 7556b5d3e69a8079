#ifndef LOGLOG_WORKER_SURVIVOR_H_
#define LOGLOG_WORKER_SURVIVOR_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog::worker {

// A line that identifies a living process beyond its pid: "<pid> <start ticks> <boot id
// of the kernel>". NOT_FOUND when there is no such process.
absl::StatusOr<std::string> DescribeProcess(pid_t pid);

// SIGKILL to the group of the process so described, if it still is that process and
// leads a group of its own; returns when it is gone. OK when there is nothing to kill.
// DEADLINE_EXCEEDED: it did not go.
absl::Status KillRecordedProcess(absl::string_view identity);

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_SURVIVOR_H_
