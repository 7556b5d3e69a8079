#ifndef LOGLOG_BASE_FAILPOINT_H_
#define LOGLOG_BASE_FAILPOINT_H_

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace loglog {

// Named places where a process can be made to die: between two steps that belong
// together, or in a branch that only faults reach. LOGLOG_FAILPOINT("store.commit.before")
// costs one load unless failpoints are armed. Every name is in failpoint.cc, so that a
// test can tell which of them nobody ever reaches: where the variable
// LOGLOG_FAILPOINT_COUNTS names a file, all processes count in it, those that are killed
// included (tests/failpoints.py prints it).
#define LOGLOG_FAILPOINT(name)                                                   \
  do {                                                                           \
    if (::loglog::failpoints_armed.load(std::memory_order_relaxed)) [[unlikely]] \
      ::loglog::HitFailpoint(name);                                              \
  } while (false)

extern std::atomic<bool> failpoints_armed;

// All names, sorted.
const std::vector<std::string>& FailpointNames();

// Aborts on a name that is not in the list.
void HitFailpoint(const char* name);

// Called at each failpoint from now on, on the thread that reaches it; empty: none are
// armed. Not while other threads run.
void SetFailpointHandler(std::function<void(const char* name)> handler);

// Arms what the variable LOGLOG_FAILPOINT says: "NAME" or "NAME:N", where the process
// kills itself with SIGKILL the N-th time it gets there (the first). To be called when
// the process starts. INVALID_ARGUMENT: no such name.
absl::Status ArmFailpointFromEnvironment();

}  // namespace loglog

#endif  // LOGLOG_BASE_FAILPOINT_H_
