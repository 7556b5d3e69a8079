#ifndef LOGLOG_STORE_NAMES_H_
#define LOGLOG_STORE_NAMES_H_

#include "absl/strings/string_view.h"
#include "store/rows.h"

namespace loglog {

// The state that a word in the tables stands for; StateName is the way back.
SweepState SweepStateOf(absl::string_view name);
TrialState TrialStateOf(absl::string_view name);
TaskState TaskStateOf(absl::string_view name);
AttemptState AttemptStateOf(absl::string_view name);
StopCause StopCauseOf(absl::string_view name);
WorkerState WorkerStateOf(absl::string_view name);
Role RoleOf(absl::string_view name);

}  // namespace loglog

#endif  // LOGLOG_STORE_NAMES_H_
