#ifndef LOGLOG_COORDINATOR_NAMES_H_
#define LOGLOG_COORDINATOR_NAMES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Resource names: the one place that builds them and takes them apart.
namespace loglog {

struct NumberedName {
  std::string sweep;
  int64_t number = 0;
};

// [a-z0-9][a-z0-9-]{0,62}
bool IsResourceId(absl::string_view id);

std::string SweepName(absl::string_view sweep);
std::string TrialName(absl::string_view sweep, int64_t number);
std::string FitName(absl::string_view sweep, int64_t number);
std::string WorkerName(absl::string_view worker_id);
std::string TokenName(int64_t token_id);

// Each INVALID_ARGUMENT names the text and the form that was expected.
// "sweeps/<name>"; a bare "<name>" is taken too.
absl::StatusOr<std::string> ParseSweepName(absl::string_view name);
// "sweeps/<name>/trials/<n>"
absl::StatusOr<NumberedName> ParseTrialName(absl::string_view name);
// "sweeps/<name>/fits/<n>"
absl::StatusOr<NumberedName> ParseFitName(absl::string_view name);
// "workers/<id>"; a bare "<id>" is taken too.
absl::StatusOr<std::string> ParseWorkerName(absl::string_view name);

// "tokens/<n>"; a bare "<n>" is taken too.
absl::StatusOr<int64_t> ParseTokenName(absl::string_view name);

// Page tokens: opaque to clients, bound to the list they came from.
std::string MakePageToken(absl::string_view list, absl::string_view position);
// The position in it; "" for an empty token. INVALID_ARGUMENT for another list's.
absl::StatusOr<std::string> ParsePageToken(absl::string_view list, absl::string_view token);

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_NAMES_H_
