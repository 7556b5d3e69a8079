#ifndef LOGLOG_CLI_CSV_FIT_H_
#define LOGLOG_CLI_CSV_FIT_H_

#include "absl/status/statusor.h"
#include "cli/args.h"

namespace loglog::cli {

class Context;

// Flags of `loglog fit` that go with --csv.
std::vector<Flag> CsvFitFlags();

// `loglog fit --csv`: the fits of a CSV's points, without a coordinator or a store.
absl::StatusOr<int> FitCsv(Context& context);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_CSV_FIT_H_
