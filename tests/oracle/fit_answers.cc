// What fit/ answers to the questions of scipy_test.py, as JSON lines on stdout: quantiles,
// and fits of the points that it reads, "LAW DELTA N" and then N lines "n d loss".
#include <cmath>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "fit/distributions.h"
#include "fit/form_fit.h"
#include "fit/law_fit.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using nlohmann::json;

void Quantiles() {
  json rows = json::array();
  for (const double p : {1e-6, 0.025, 0.3, 0.5, 0.9, 0.975, 0.9999}) {
    for (const double df : {1.0, 2.0, 3.0, 10.0, 237.0}) {
      rows.push_back({{"p", p},
                      {"df", df},
                      {"t", TQuantile(p, df)},
                      {"chi2", ChiSquareQuantile(p, df)},
                      {"f", FQuantile(p, 1, df)},
                      {"f_tail", FUpperTail(1 + df / 7, 3, df)},
                      {"nct", NoncentralTCdf(2.2, df, 1.5)},
                      {"normal", NormalQuantile(p)}});
    }
  }
  std::cout << json({{"quantiles", rows}}).dump() << "\n";
}

void Fits() {
  std::string law_name;
  double delta = 0;
  int n = 0;
  while (std::cin >> law_name >> delta >> n) {
    std::vector<Observation> trials;
    for (int i = 0; i < n; ++i) {
      Observation o;
      std::cin >> o.n_params >> o.d_tokens >> o.loss;
      o.c_flops = 6 * o.n_params * o.d_tokens;
      o.config = std::to_string(i);
      trials.push_back(o);
    }
    const Law law = *ParseLaw(law_name);
    const ConfigMeans means = *MeansOverSeeds(trials, Axis::kTokens);
    const std::unique_ptr<Form> form = MakeForm(law, means);
    const Minimum squares = MinimizeSquares(*form, form->Starts());
    const Minimum huber = MinimizeHuber(*form, form->Starts(), delta);
    const FormIntervals intervals(*form, squares.theta, squares.value, 0.95);
    json centres = json::array();
    for (int c = 0; c < form->columns(); ++c) centres.push_back(form->ln_x_mean(c));
    std::cout << json({{"law", law_name},
                       {"centres", centres},
                       {"theta", squares.theta},
                       {"value", squares.value},
                       {"covariance", intervals.covariance()},
                       {"variance", intervals.variance()},
                       {"huber", huber.theta},
                       {"huber_value", huber.value}})
                     .dump()
              << "\n";
  }
}

}  // namespace
}  // namespace loglog

int main() {
  loglog::Quantiles();
  loglog::Fits();
  return 0;
}
