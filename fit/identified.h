#ifndef LOGLOG_FIT_IDENTIFIED_H_
#define LOGLOG_FIT_IDENTIFIED_H_

#include <string>
#include <vector>

#include "fit/result.h"

namespace loglog {

// Why an exponent of a form with a free floor is not identified; empty when it is: its
// interval lies inside (0.02, 1.5), is narrower than 0.15, and E and the exponent are
// not one parameter in disguise (|correlation| < 0.995).
std::vector<std::string> IdentificationFaults(const FitParameter& exponent, double correlation);

// What else takes the verdict away: optimizer status and active bounds of a provenance.
std::vector<std::string> OptimizerFaults(const FitProvenance& provenance);

// Such trials are not independent, and an interval would count them as more than they are.
inline constexpr char kTrunksFault[] =
    "trials share trunks, so they are not independent and there are no intervals; train separate "
    "trials for them";
// Takes the intervals of a fit of such trials away; once SetFitStatus has set its cure, which
// separate trials then are where the optimizer found no other fault.
void RemoveIntervals(FitResult* result);

}  // namespace loglog

#endif  // LOGLOG_FIT_IDENTIFIED_H_
