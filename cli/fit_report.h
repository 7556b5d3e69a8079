#ifndef LOGLOG_CLI_FIT_REPORT_H_
#define LOGLOG_CLI_FIT_REPORT_H_

#include <string>
#include <vector>

#include "cli/render/style.h"
#include "loglog/v1/common.pb.h"

namespace loglog::cli {

struct FitReportOptions {
  // Also the objective triple, the notes and the provenance of each fit.
  bool detailed = false;
};

// Fits as a person reads them: which quantity each number is, its interval, the
// verdict, what went in and what stayed out. Grouped by kind, in the order given.
std::string RenderFitReport(const std::vector<v1::Fit>& fits, const FitReportOptions& options,
                            const Style& style);

// nullptr when the fit has no such parameter.
const v1::Parameter* FindParameter(const v1::Fit& fit, absl::string_view name);

// "-0.0712 [-0.0801, -0.0623]", or the reason why there is no number.
std::string HeadlineOf(const v1::Fit& fit);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_FIT_REPORT_H_
