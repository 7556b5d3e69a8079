#ifndef LOGLOG_FITTING_VERIFY_H_
#define LOGLOG_FITTING_VERIFY_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "fitting/fitter.h"
#include "store/rows.h"

namespace loglog {

// A stored fit held against what its trials give now.
struct FitCheck {
  enum class Outcome {
    kSame,       // every number to its last digit, every word
    kDiffers,    // `differences` says where
    kOtherCode,  // made by another version of the fitting code, and it differs
  };
  Outcome outcome = Outcome::kSame;
  // Trials of its arms have ended or begun since: it was made again from the trials that it
  // lists, and what hangs on the others (counts, Holm's adjustment) was not compared.
  bool moved_on = false;
  // "parameters/0/estimate: stored -0.0712, now -0.0711"
  std::vector<std::string> differences;
};

// Makes a stored fit again. `trials` and `plan` are those of its sweep, as for Fitter. A
// trial that the fit lists and that is no longer there, or has another loss or other data,
// is a difference. DATA_LOSS: the fit's JSON cannot be read.
absl::StatusOr<FitCheck> VerifyFit(const FitRow& stored, absl::Span<const ObservationRow> trials,
                                   const FitPlan& plan);

// "same", "differs" or "other code".
const char* OutcomeWord(FitCheck::Outcome outcome);

}  // namespace loglog

#endif  // LOGLOG_FITTING_VERIFY_H_
