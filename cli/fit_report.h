#ifndef LOGLOG_CLI_FIT_REPORT_H_
#define LOGLOG_CLI_FIT_REPORT_H_

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "cli/render/style.h"
#include "fit/law_prediction.h"
#include "loglog/v1/common.pb.h"
#include "nlohmann/json_fwd.hpp"

namespace loglog::cli {

// Trials of an arm that no fit takes. A stored fit counts all but the diverged as unfinished.
struct LostTrials {
  int diverged = 0;
  int failed = 0;
  int cancelled = 0;
  int stopped = 0;
  int unfinished = 0;  // that may still end with a loss
  LostTrials& operator+=(const LostTrials& other);
};
std::map<std::string, LostTrials> LostByArm(const std::vector<v1::Trial>& trials);
LostTrials LostOf(const std::vector<v1::Trial>& trials, const std::vector<std::string>& arms);
// "left out: 1 diverged, 2 stopped early, 0 unfinished".
std::string LeftOutText(const LostTrials& lost);

struct FitReportOptions {
  // Also the objective triple, the notes and the provenance of each fit.
  bool detailed = false;
  std::map<std::string, LostTrials> lost = {};   // by arm
  std::vector<LawPredictions> predictions = {};  // beside the fits, where some were asked for
};

// Fits as a person reads them: which quantity each number is, its interval, the
// verdict, what went in and what stayed out. Grouped by kind, in the order given.
std::string RenderFitReport(const std::vector<v1::Fit>& fits, const FitReportOptions& options,
                            const Style& style);

// The least loss that the synthetic source allows, in nats per token; NaN when not known.
struct TrueFloor {
  double entropy_rate = NAN;  // of the source
  double val_floor = NAN;     // of the sample that validation measures: the truth of the loss
};
// The fitted floors beside the true one; "" when there is none.
std::string RenderFloors(const std::vector<v1::Fit>& fits, const TrueFloor& truth,
                         const Style& style);

// What the censored trials of a fit's provenance do to its estimates: "beta 0.351 with 3 censored
// trials, 0.349 without"; "" where it has none.
std::string CensoredText(const nlohmann::json& provenance);

// nullptr when the fit has no such parameter.
const v1::Parameter* FindParameter(const v1::Fit& fit, absl::string_view name);

// "-0.0712 [-0.0801, -0.0623]", or the reason why there is no number.
std::string HeadlineOf(const v1::Fit& fit);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_FIT_REPORT_H_
