#ifndef LOGLOG_FITTING_TRIALS_TESTING_H_
#define LOGLOG_FITTING_TRIALS_TESTING_H_

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fit/planted_testing.h"
#include "store/rows.h"

namespace loglog {

// Trials that are done, of one size, at five D with three seeds each: one law with a floor for
// all arms, and noise of .1%.
inline std::vector<ObservationRow> TrialsOf(const std::vector<std::string>& arms) {
  std::vector<ObservationRow> rows;
  Noise noise(3);
  for (const std::string& arm : arms) {
    for (const int64_t tokens : {1'000'000, 4'000'000, 16'000'000, 32'000'000, 64'000'000}) {
      for (int seed = 0; seed < 3; ++seed) {
        ObservationRow row;
        row.number = static_cast<int64_t>(rows.size()) + 1;
        row.arm = arm;
        row.axes_json = "{}";
        row.cell_sha256 = absl::StrCat(arm, tokens);
        row.seed = seed;
        row.state = TrialState::kDone;
        row.params_non_embedding = 1'000'000;
        row.tokens = tokens;
        row.flops = 6e6 * static_cast<double>(tokens);
        row.final_loss = (2 + 1.5 * std::pow(static_cast<double>(tokens) / 8e6, -0.35)) *
                         std::exp(0.001 * noise.Next());
        row.trial_sha256 = absl::StrCat(arm, " ", tokens, " ", seed);
        rows.push_back(row);
      }
    }
  }
  return rows;
}

}  // namespace loglog

#endif  // LOGLOG_FITTING_TRIALS_TESTING_H_
