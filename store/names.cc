#include "store/names.h"
#include "base/check.h"

namespace loglog {
namespace {

constexpr const char* kSweepStates[] = {"ACTIVE", "PAUSED", "CANCELLED", "DONE"};
constexpr const char* kTrialStates[] = {"PENDING", "RUNNING",   "DONE",   "DIVERGED",
                                        "FAILED",  "CANCELLED", "STOPPED"};
constexpr const char* kTaskStates[] = {"PENDING", "RUNNING", "DONE", "FAILED", "CANCELLED"};
constexpr const char* kAttemptStates[] = {"LEASED",        "RUNNING",      "STOPPING", "DONE",
                                          "DIVERGED",      "STOPPED",      "FAILED",   "REFUSED",
                                          "OUT_OF_MEMORY", "DEVICE_ERROR", "LOST",     "CANCELLED"};
constexpr const char* kStopCauses[] = {"", "DRAIN", "PREEMPTED", "UNWANTED"};
constexpr const char* kWorkerStates[] = {"LIVE", "DRAINING", "QUARANTINED", "LOST", "GONE"};
constexpr const char* kRoles[] = {"VIEWER", "SUBMITTER", "WORKER", "ADMIN"};

// The tables' CHECKs allow only these words, so another one is an invariant broken.
template <typename State, size_t kCount>
State Find(const char* const (&names)[kCount], absl::string_view name) {
  size_t i = 0;
  while (i < kCount && name != names[i]) ++i;
  LOGLOG_CHECK(i < kCount);
  return static_cast<State>(i);
}

}  // namespace

const char* StateName(SweepState state) { return kSweepStates[static_cast<int>(state)]; }
const char* StateName(TrialState state) { return kTrialStates[static_cast<int>(state)]; }
const char* StateName(TaskState state) { return kTaskStates[static_cast<int>(state)]; }
const char* StateName(AttemptState state) { return kAttemptStates[static_cast<int>(state)]; }
const char* StateName(WorkerState state) { return kWorkerStates[static_cast<int>(state)]; }
const char* RoleName(Role role) { return kRoles[static_cast<int>(role)]; }

const char* StateName(StopCause cause) { return kStopCauses[static_cast<int>(cause)]; }

bool IsLive(AttemptState state) { return state <= AttemptState::kStopping; }
bool IsEnded(TrialState state) { return state >= TrialState::kDone; }

SweepState SweepStateOf(absl::string_view name) { return Find<SweepState>(kSweepStates, name); }
TrialState TrialStateOf(absl::string_view name) { return Find<TrialState>(kTrialStates, name); }
TaskState TaskStateOf(absl::string_view name) { return Find<TaskState>(kTaskStates, name); }
AttemptState AttemptStateOf(absl::string_view name) {
  return Find<AttemptState>(kAttemptStates, name);
}
StopCause StopCauseOf(absl::string_view name) { return Find<StopCause>(kStopCauses, name); }
WorkerState WorkerStateOf(absl::string_view name) { return Find<WorkerState>(kWorkerStates, name); }
Role RoleOf(absl::string_view name) { return Find<Role>(kRoles, name); }

}  // namespace loglog
