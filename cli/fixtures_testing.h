#ifndef LOGLOG_CLI_FIXTURES_TESTING_H_
#define LOGLOG_CLI_FIXTURES_TESTING_H_

#include <map>
#include <string>
#include <vector>

#include "cli/checks.h"
#include "loglog/v1/common.pb.h"

namespace loglog::cli {

// A sweep with two arms (small, large), D of 1M, 2M, 4M and 8M, seeds 0 and 1, all done
// with losses L = 2 + B*D^-0.3 (arm large: a larger B) and a little noise by seed.
CheckInput DoneSweep();

v1::Trial MakeTrial(int number, const std::string& arm,
                    const std::map<std::string, std::string>& axes, int64_t tokens, int64_t seed,
                    v1::Trial::State state, double loss);
// The loss that a fit says at x, with bands a percent and more away.
void AddPrediction(v1::Fit* fit, double x, double loss);
v1::Fit SlopeFit(const std::string& arm, double slope, double low, double high);
v1::Fit SaturatingFit(const std::string& arm, v1::Fit::Verdict verdict);
v1::Fit ComparisonFit(double difference, double low, double high);

// Counts of the trials' states into the sweep.
void Recount(CheckInput* input);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_FIXTURES_TESTING_H_
