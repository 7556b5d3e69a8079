#ifndef LOGLOG_CLI_FIT_EXPORT_H_
#define LOGLOG_CLI_FIT_EXPORT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "store/rows.h"

namespace loglog::cli {

// Stored fits of one sweep in forms for papers and notebooks. DATA_LOSS: a fit's JSON cannot
// be read.

// One object as docs/fit.schema.json describes it.
absl::StatusOr<std::string> FitsAsJson(const std::string& sweep, const std::vector<FitRow>& fits);
// Rows of a LaTeX table, one for each parameter, with a comment that names the columns.
absl::StatusOr<std::string> FitsAsLatex(const std::string& sweep, const std::vector<FitRow>& fits);
// A Python program that draws the trials of `loglog export csv` and these curves with
// matplotlib. Laws in N and D at once have no curve there.
absl::StatusOr<std::string> FitsAsPython(const std::string& sweep, const std::vector<FitRow>& fits);

// Everything about one fit, for a person.
absl::StatusOr<std::string> DescribeFit(const std::string& sweep, const FitRow& fit, int columns);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_FIT_EXPORT_H_
