#ifndef LOGLOG_FIT_PLANTED_TESTING_H_
#define LOGLOG_FIT_PLANTED_TESTING_H_

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fit/censored.h"
#include "fit/observation.h"

namespace loglog {

// Whether a test that has a long way and a short one goes the long way.
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
inline constexpr bool kFullSimulations = true;
#else
inline constexpr bool kFullSimulations = false;
#endif

// Standard normal numbers that are the same with every standard library.
class Noise {
 public:
  explicit Noise(uint64_t seed) : engine_(seed) {}
  double Next() {
    const double radius = std::sqrt(-2 * std::log(Uniform()));
    return radius * std::cos(2 * M_PI * Uniform());
  }

 private:
  double Uniform() { return (static_cast<double>(engine_() >> 11) + 0.5) / 9007199254740992.0; }
  std::mt19937_64 engine_;
};

// n values from first to first*range, log-uniform, ends included.
inline std::vector<double> LogRange(double first, double range, int n) {
  std::vector<double> values;
  for (int i = 0; i < n; ++i) values.push_back(first * std::pow(range, i / (n - 1.0)));
  return values;
}

inline Observation At(double n_params, double d_tokens, double loss, int64_t seed = 0) {
  return {.n_params = n_params,
          .d_tokens = d_tokens,
          .c_flops = 6 * n_params * d_tokens,
          .loss = loss,
          .seed = seed,
          .config = absl::StrCat("n", n_params, "d", d_tokens),
          .cluster = ""};
}

// Trials of one size over `tokens`, `seeds` each: law(D) times lognormal noise.
template <typename Law>
std::vector<Observation> Planted(const std::vector<double>& tokens, int seeds, double sd,
                                 Noise* noise, Law law) {
  std::vector<Observation> trials;
  for (const double d : tokens) {
    for (int seed = 0; seed < seeds; ++seed) {
      trials.push_back(At(1e7, d, law(d) * std::exp(sd * noise->Next()), seed));
    }
  }
  return trials;
}

// A trial that ended on the wrong side of a limit is known by the limit only: diverged above it
// (`loss_is_lower`), or stopped early below it.
inline void CensorAt(double limit, bool loss_is_lower, Observation trial,
                     std::vector<Observation>* finished, std::vector<CensoredTrial>* censored) {
  if (loss_is_lower == (trial.loss < limit)) {
    finished->push_back(std::move(trial));
  } else {
    trial.loss = limit;
    censored->push_back({std::move(trial), loss_is_lower});
  }
}

}  // namespace loglog

#endif  // LOGLOG_FIT_PLANTED_TESTING_H_
