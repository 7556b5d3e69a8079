#ifndef LOGLOG_FIT_FITTED_TESTING_H_
#define LOGLOG_FIT_FITTED_TESTING_H_

#include <memory>
#include <vector>

#include "fit/form_fit.h"
#include "fit/means.h"
#include "fit/observation.h"

namespace loglog {

// A form of means over seeds, at its least squares.
struct Fitted {
  std::unique_ptr<Form> form;
  std::vector<double> theta;
};

inline Fitted FitTo(Law law, const std::vector<Observation>& trials) {
  Fitted fitted;
  fitted.form = MakeForm(law, *MeansOverSeeds(trials, Axis::kTokens));
  fitted.theta = MinimizeSquares(*fitted.form, fitted.form->Starts()).theta;
  return fitted;
}

}  // namespace loglog

#endif  // LOGLOG_FIT_FITTED_TESTING_H_
