// How long a refit takes: the answer decides whether a sweep can refit from scratch on
// every finished trial. The rival is the procedure of published fits in the same run: the
// same optimizer from a coarse grid of starts instead of variable projection.
//   bench_fit [--smoke]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "fit/fit.h"
#include "fit/form_fit.h"
#include "fit/planted_testing.h"
#include "fit/power_sum.h"

namespace loglog {
namespace {

double Milliseconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

double MedianMilliseconds(int repetitions, const std::function<void()>& work) {
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) times.push_back(Milliseconds(work));
  return Median(std::move(times));
}

PowerSum JointSample() {
  Noise noise(1);
  std::vector<std::vector<double>> ln_x(2);
  std::vector<double> y, weight;
  for (const double n : LogRange(5e7, 200, 16)) {
    for (const double d : LogRange(1e9, 200, 15)) {
      ln_x[0].push_back(std::log(n));
      ln_x[1].push_back(std::log(d));
      const double loss = 1.8 + 480 * std::pow(n, -0.35) + 2100 * std::pow(d, -0.37);
      y.push_back(std::log(loss) + 0.005 * noise.Next());
      weight.push_back(1);
    }
  }
  return PowerSum(std::move(ln_x), std::move(y), std::move(weight));
}

std::vector<std::vector<double>> CoarseGrid(const PowerSum& form) {
  std::vector<std::vector<double>> starts;
  for (double alpha = 0; alpha <= 2; alpha += 0.5) {
    for (double beta = 0; beta <= 2; beta += 0.5) {
      for (double a = 0; a <= 25; a += 5) {
        for (double b = 0; b <= 25; b += 5) {
          for (double e = -1; e <= 1; e += 0.5) {
            starts.push_back(
                {e, a - alpha * form.ln_x_mean(0), alpha, b - beta * form.ln_x_mean(1), beta});
          }
        }
      }
    }
  }
  return starts;
}

int Main(bool smoke) {
  const int repetitions = smoke ? 3 : 201;
  Noise noise(2);
  const auto law = [](double d) { return 2 + 1.5 * std::pow(d / 8e8, -0.35); };
  const std::vector<Observation> arm1 = Planted(LogRange(1e8, 64, 6), 3, 0.003, &noise, law);
  const std::vector<Observation> arm2 = Planted(LogRange(1e8, 64, 6), 3, 0.003, &noise, law);
  std::printf("one arm, 6 D x 3 seeds, median of %d\n", repetitions);
  std::printf("  local slope         %8.3f ms\n",
              MedianMilliseconds(repetitions, [&] { FitLocalSlope(arm1).IgnoreError(); }));
  std::printf("  saturating          %8.3f ms  (profiles, triple and leave-largest-out in it)\n",
              MedianMilliseconds(repetitions, [&] { FitSaturating(arm1).IgnoreError(); }));
  std::printf("  paired comparison   %8.3f ms\n",
              MedianMilliseconds(repetitions, [&] { CompareArms(arm1, arm2).IgnoreError(); }));

  const PowerSum form = JointSample();
  const double delta = 1e-3;
  Minimum ours;
  const double ours_ms =
      MedianMilliseconds(smoke ? 1 : 21, [&] { ours = MinimizeHuber(form, form.Starts(), delta); });
  std::vector<std::vector<double>> coarse = CoarseGrid(form);
  if (smoke) coarse.resize(50);
  const auto objective = [&](const double* theta, double* gradient) {
    return form.Value(Loss::Huber(delta), theta, gradient);
  };
  int found = 0;
  const double rival_ms = Milliseconds([&] {
    for (const std::vector<double>& start : coarse) {
      found += Polish(objective, form.box(), start).value <= ours.value * (1 + 1e-9);
    }
  });
  std::printf("joint form, %d points, Huber\n", form.size());
  std::printf("  variable projection %8.2f ms  (%d of %d polished starts at the minimum)\n",
              ours_ms, ours.starts_agreed, ours.starts_polished);
  std::printf("  coarse grid         %8.2f ms  (%d of %zu starts at the minimum), ratio %.0f\n",
              rival_ms, found, coarse.size(), rival_ms / ours_ms);
  return ours.status == "CONVERGED" ? 0 : 1;
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) {
  return loglog::Main(argc > 1 && std::string(argv[1]) == "--smoke");
}
