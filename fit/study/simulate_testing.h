#ifndef LOGLOG_FIT_STUDY_SIMULATE_TESTING_H_
#define LOGLOG_FIT_STUDY_SIMULATE_TESTING_H_

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "fit/planted_testing.h"
#include "fit/result.h"
#include "gtest/gtest.h"

namespace loglog {

// How often an interval holds the truth. Each study prints its seed; the same seed gives
// the same figure on every machine.
class Coverage {
 public:
  Coverage(std::string what, uint64_t seed) : what_(std::move(what)), seed_(seed) {}

  void Count(double low, double high, double truth) {
    ++simulations_;
    covered_ += low <= truth && truth <= high;
  }
  void Count(const FitParameter* parameter, double truth) {
    ASSERT_NE(parameter, nullptr) << what_;
    Count(parameter->low, parameter->high, truth);
  }
  double share() const { return static_cast<double>(covered_) / simulations_; }
  int simulations() const { return simulations_; }

  // A share of .95 over 2,000 simulations has a standard error of .005.
  void Check(double least = 0.93, double most = 0.97) const {
    Print();
    EXPECT_GE(share(), least) << what_;
    EXPECT_LE(share(), most) << what_;
  }
  void Print() const {
    std::printf("coverage of %-52s %.4f of %d (seed %llu)\n", (what_ + ":").c_str(), share(),
                simulations_, static_cast<unsigned long long>(seed_));
  }

 private:
  std::string what_;
  uint64_t seed_;
  int simulations_ = 0;
  int covered_ = 0;
};

// What disturbs the trials of one arm.
struct Scatter {
  const char* name;
  double sd = 0.003;         // of one trial's ln L at the smallest D
  double growth = 1;         // of that sd from the smallest to the largest D
  double config_effect = 0;  // sd of what all seeds of one configuration share
};

inline constexpr Scatter kScatters[] = {
    {.name = "equal noise"},
    {.name = "noise growing 2x", .sd = 0.002, .growth = 2},
    {.name = "an effect per D", .config_effect = 0.003},
};

// Trials at every D and seed: law(D) with lognormal scatter.
template <typename Law>
std::vector<Observation> Scattered(const std::vector<double>& tokens, int seeds,
                                   const Scatter& scatter, Noise* noise, Law law) {
  std::vector<Observation> trials;
  const double range = std::log(tokens.back() / tokens.front());
  for (const double d : tokens) {
    const double effect = scatter.config_effect * noise->Next();
    const double sd = scatter.sd * std::pow(scatter.growth, std::log(d / tokens.front()) / range);
    for (int seed = 0; seed < seeds; ++seed) {
      trials.push_back(At(1e7, d, law(d) * std::exp(effect + sd * noise->Next()), seed));
    }
  }
  return trials;
}

}  // namespace loglog

#endif  // LOGLOG_FIT_STUDY_SIMULATE_TESTING_H_
