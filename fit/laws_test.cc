// Every form: gradients against differences, planted laws found again, words for what
// cannot be fitted.
#include "fit/laws.h"

#include <cmath>
#include <functional>
#include <limits>
#include <memory>

#include "fit/fit.h"
#include "fit/form_fit.h"
#include "fit/planted_testing.h"
#include "fit/power_sum.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

constexpr Law kAllLaws[] = {Law::kPower,  Law::kSaturating,      Law::kJoint, Law::kEqualExponent,
                            Law::kKaplan, Law::kDataConstrained, Law::kBroken};

using LossOf = std::function<double(double n, double d, double u)>;

// 6 sizes x 6 budgets; with `epochs` each pair on D, D/4 and D/16 unique tokens.
std::vector<Observation> Grid(const LossOf& loss, double sd, bool epochs, uint64_t seed) {
  Noise noise(seed);
  std::vector<Observation> trials;
  for (const double n : LogRange(1e7, 256, 6)) {
    for (const double d : LogRange(2e8, 256, 6)) {
      for (const double part : {1.0, 4.0, 32.0}) {
        if (part > 1 && !epochs) continue;
        Observation o = At(n, d, loss(n, d, d / part) * std::exp(sd * noise.Next()));
        o.d_unique = d / part;
        o.config = absl::StrCat(o.config, "u", part);
        trials.push_back(o);
      }
    }
  }
  return trials;
}

std::vector<Observation> Line(const std::function<double(double)>& loss, double range, int n,
                              double sd, uint64_t seed) {
  Noise noise(seed);
  return Planted(LogRange(1e8, range, n), 2, sd, &noise, loss);
}

double Kaplan(double n, double d) {
  return std::pow(std::pow(8.8e13 / n, 0.076 / 0.095) + 5.4e13 / d, 0.095);
}

// Independent of RepeatedDataForm: the formulas as the paper has them, in linear space.
double DataConstrained(double n, double d, double u) {
  const double e = 1.87, a = 521, alpha = 0.353, b = 1488, beta = 0.353, r_d = 15.4, r_n = 5.3;
  const double g = std::pow(alpha * a / (beta * b), 1 / (alpha + beta));
  const double u_n = std::min(n, std::pow(u * g, beta / alpha) * g);
  const double d_worth = u + u * r_d * (1 - std::exp(-(d / u - 1) / r_d));
  const double n_worth = u_n + u_n * r_n * (1 - std::exp(-(n / u_n - 1) / r_n));
  return e + a * std::pow(n_worth, -alpha) + b * std::pow(d_worth, -beta);
}

std::vector<Observation> TrialsOf(Law law, double sd, uint64_t seed) {
  switch (law) {
    case Law::kPower:
      return Line([](double d) { return 30 * std::pow(d, -0.1); }, 64, 6, sd, seed);
    case Law::kSaturating:
      return Line([](double d) { return 2 + 1.5 * std::pow(d / 8e8, -0.35); }, 64, 7, sd, seed);
    case Law::kBroken:
      return Line(
          [](double d) {
            const double x = d / 2e9;
            return 3 * std::pow(x, -0.05) * std::pow(1 + std::pow(x, 1 / 0.3), -0.15 * 0.3);
          },
          1024, 14, sd, seed);
    case Law::kJoint:
      return Grid([](double n, double d,
                     double) { return 1.8 + 480 * std::pow(n, -0.35) + 2100 * std::pow(d, -0.37); },
                  sd, false, seed);
    case Law::kEqualExponent:
      return Grid([](double n, double d,
                     double) { return 1.8 + 480 * std::pow(n, -0.36) + 2100 * std::pow(d, -0.36); },
                  sd, false, seed);
    case Law::kKaplan:
      return Grid([](double n, double d, double) { return Kaplan(n, d); }, sd, false, seed);
    case Law::kDataConstrained:
      return Grid(DataConstrained, sd, true, seed);
  }
  return {};
}

std::vector<std::pair<std::string, double>> TruthOf(Law law) {
  switch (law) {
    case Law::kPower:
      return {{"beta", 0.1}, {"B", 30}};
    case Law::kSaturating:
      return {{"beta", 0.35}, {"E", 2}, {"B", 1.5 * std::pow(8e8, 0.35)}};
    case Law::kBroken:
      return {{"beta_before", 0.05}, {"beta_after", 0.2}, {"x0", 2e9}, {"width", 0.3}};
    case Law::kJoint:
      return {{"beta", 0.37}, {"alpha", 0.35}, {"E", 1.8}, {"B", 2100}, {"A", 480}};
    case Law::kEqualExponent:
      return {{"beta", 0.36}, {"E", 1.8}, {"B", 2100}, {"A", 480}};
    case Law::kKaplan:
      return {{"beta", 0.095},
              {"alpha", 0.076},
              {"A", std::pow(8.8e13, 0.076)},
              {"B", std::pow(5.4e13, 0.095)}};
    case Law::kDataConstrained:
      return {{"beta", 0.353}, {"alpha", 0.353}, {"E", 1.87}, {"A", 521},
              {"B", 1488},     {"R_D", 15.4},    {"R_N", 5.3}};
  }
  return {};
}

std::unique_ptr<Form> FormFor(Law law, double sd) {
  return MakeForm(law, *MeansOverSeeds(TrialsOf(law, sd, 1), Axis::kTokens));
}

TEST(Laws, GradientsAgreeWithDifferences) {
  for (const Law law : kAllLaws) {
    const std::unique_ptr<Form> form = FormFor(law, 0.01);
    const std::vector<std::vector<double>> starts = form->Starts();
    for (const std::vector<double>& start : {starts.front(), starts.back()}) {
      // Off the bounds and off the optimum.
      std::vector<double> theta = start;
      for (int i = 0; i < form->dim(); ++i) {
        theta[i] += 0.03 * (form->box().high[i] - form->box().low[i] > 1 ? 1 : 0.1);
      }
      for (const Loss loss : {Loss::Squares(), Loss::Huber(1e-3), Loss::Huber(1)}) {
        std::vector<double> gradient(form->dim());
        form->Value(loss, theta.data(), gradient.data());
        double size = 0;
        for (const double component : gradient) size = std::max(size, std::fabs(component));
        for (int i = 0; i < form->dim(); ++i) {
          const double h = 1e-5;
          std::vector<double> up = theta, down = theta;
          up[i] += h;
          down[i] -= h;
          const double slope =
              (form->Value(loss, up.data(), nullptr) - form->Value(loss, down.data(), nullptr)) /
              (2 * h);
          EXPECT_NEAR(gradient[i], slope, 1e-5 * size)
              << LawName(law) << " " << form->parameters()[i].name << " squares " << loss.squares;
        }
      }
    }
  }
}

TEST(Laws, SecondDerivativesAgreeWithDifferencesOfTheFirst) {
  for (const Law law : {Law::kPower, Law::kSaturating, Law::kJoint, Law::kEqualExponent}) {
    const std::unique_ptr<Form> form = FormFor(law, 0.01);
    const int n = form->dim();
    std::vector<double> theta = form->Starts().front();
    for (double& component : theta) component += 0.02;
    std::vector<double> ln_l(form->size()), jacobian(form->size() * n);
    form->LnLosses(theta.data(), ln_l.data(), jacobian.data());
    for (const int point : {0, form->size() - 1}) {
      const double* u = form->u(point);
      std::vector<double> hessian(n * n, 0.0), g(n), scale(form->size(), 0.0);
      scale[point] = 1;
      form->LnLoss(theta.data(), u, 0, g.data());
      form->AddCurvature(jacobian.data(), scale.data(), hessian.data());
      for (int a = 0; a < n; ++a) {
        const double h = 1e-5;
        std::vector<double> up = theta, down = theta, g_up(n), g_down(n);
        up[a] += h;
        down[a] -= h;
        form->LnLoss(up.data(), u, 0, g_up.data());
        form->LnLoss(down.data(), u, 0, g_down.data());
        for (int b = 0; b <= a; ++b) {
          EXPECT_NEAR(hessian[a * n + b] - g[a] * g[b], (g_up[b] - g_down[b]) / (2 * h), 1e-8)
              << LawName(law) << " " << a << " " << b;
        }
      }
    }
  }
}

// All points at once, in and beyond what exp can hold relative to the floor.
TEST(Laws, AllPointsAgreeWithEachAlone) {
  for (const Law law : {Law::kPower, Law::kSaturating, Law::kJoint, Law::kEqualExponent}) {
    const std::unique_ptr<Form> form = FormFor(law, 0.01);
    const int n = form->dim();
    for (const double shift : {0.0, -40.0, 500.0, 900.0}) {
      std::vector<double> theta = form->Starts().front();
      for (int i = 0; i < n; ++i) {
        if (form->parameters()[i].kind == ParameterKind::kTerm) theta[i] += shift;
      }
      std::vector<double> ln_l(form->size()), jacobian(form->size() * n), row(n);
      form->LnLosses(theta.data(), ln_l.data(), jacobian.data());
      for (int i = 0; i < form->size(); ++i) {
        const double alone = form->LnLoss(theta.data(), form->u(i), 0, row.data());
        EXPECT_NEAR(ln_l[i], alone, 2e-15 * (1 + std::fabs(alone))) << LawName(law) << " " << shift;
        for (int j = 0; j < n; ++j) {
          EXPECT_NEAR(jacobian[j * form->size() + i], row[j], 1e-15 * (1 + std::fabs(row[j])))
              << LawName(law) << " " << form->parameters()[j].name << " " << shift;
        }
      }
    }
  }
}

// The joint form's gradient from the law in linear space: L' = E', and so on.
TEST(Laws, JointGradientBySecondDerivation) {
  const std::unique_ptr<Form> form = FormFor(Law::kJoint, 0.01);
  std::vector<double> theta = form->Starts().front();
  for (int i = 0; i < form->size(); ++i) {
    const double* u = form->u(i);
    std::vector<double> gradient(5);
    form->LnLoss(theta.data(), u, 0, gradient.data());
    const double e = std::exp(theta[0]);
    const double an = std::exp(theta[1]) * std::exp(-theta[2] * u[0]);
    const double bd = std::exp(theta[3]) * std::exp(-theta[4] * u[1]);
    const double l = e + an + bd;
    EXPECT_NEAR(gradient[0], e / l, 1e-14);
    EXPECT_NEAR(gradient[1], an / l, 1e-14);
    EXPECT_NEAR(gradient[2], -an * u[0] / l, 1e-13);
    EXPECT_NEAR(gradient[3], bd / l, 1e-14);
    EXPECT_NEAR(gradient[4], -bd * u[1] / l, 1e-13);
  }
}

TEST(Laws, PlantedLawsWithoutNoiseAreFoundAgain) {
  for (const Law law : kAllLaws) {
    const FitResult fit = *FitLaw(TrialsOf(law, 0, 1), {.law = law});
    for (const auto& [name, value] : TruthOf(law)) {
      ASSERT_NE(fit.Find(name), nullptr) << LawName(law) << " " << name;
      EXPECT_NEAR(fit.Find(name)->estimate / value, 1, 2e-5) << LawName(law) << " " << name;
    }
    for (const FitTriple& triple : fit.triples) {
      EXPECT_NEAR(triple.huber / triple.least_squares, 1, 1e-2) << LawName(law) << triple.name;
    }
  }
}

TEST(Laws, PlantedLawsWithNoiseLieInTheirIntervals) {
  for (const Law law : kAllLaws) {
    const FitResult fit = *FitLaw(TrialsOf(law, 0.0005, 7), {.law = law});
    EXPECT_EQ(fit.provenance.optimizer_status, "CONVERGED") << LawName(law);
    EXPECT_EQ(fit.triples.size(), fit.parameters.size()) << LawName(law);
    for (const auto& [name, value] : TruthOf(law)) {
      const FitParameter& parameter = *fit.Find(name);
      // Twice the 95% interval: a seed that misses it would be one in thousands.
      const double slack = (parameter.high - parameter.low) / 2;
      EXPECT_GT(value, parameter.low - slack) << LawName(law) << " " << name;
      EXPECT_LT(value, parameter.high + slack) << LawName(law) << " " << name;
      EXPECT_LE(parameter.low, parameter.estimate) << LawName(law) << " " << name;
      EXPECT_GE(parameter.high, parameter.estimate) << LawName(law) << " " << name;
    }
    EXPECT_TRUE(std::isfinite(fit.provenance.aicc)) << LawName(law);
    EXPECT_FALSE(fit.folds.empty()) << LawName(law);
    EXPECT_NEAR(fit.leave_largest_out_error, 0, 0.02) << LawName(law);
  }
}

TEST(Laws, SaturatingAndJointAgreeWithTheirOwnFits) {
  const std::vector<Observation> line = TrialsOf(Law::kSaturating, 0.002, 3);
  const FitResult a = *FitLaw(line, {.law = Law::kSaturating});
  const FitResult b = *FitSaturating(line);
  for (const char* name : {"beta", "E", "B"}) {
    EXPECT_NEAR(a.Find(name)->estimate / b.Find(name)->estimate, 1, 1e-9);
    EXPECT_NEAR(a.Find(name)->low / b.Find(name)->low, 1, 1e-6);
    EXPECT_NEAR(a.Find(name)->high / b.Find(name)->high, 1, 1e-6);
  }
  EXPECT_EQ(a.form, b.form);
  const std::vector<Observation> grid = TrialsOf(Law::kJoint, 0.002, 3);
  const FitResult c = *FitLaw(grid, {.law = Law::kJoint});
  const FitResult d = *FitJoint(grid);
  for (const char* name : {"beta", "alpha", "E", "B", "A"}) {
    EXPECT_NEAR(c.Find(name)->estimate / d.Find(name)->estimate, 1, 1e-9);
    EXPECT_NEAR(c.Find(name)->low / d.Find(name)->low, 1, 1e-6);
  }
  // A power law's exponent is minus the local slope, with the same t interval.
  const std::vector<Observation> power = TrialsOf(Law::kPower, 0.002, 3);
  const FitResult e = *FitLaw(power, {.law = Law::kPower});
  const FitParameter slope = *FitLocalSlope(power)->Find("slope");
  EXPECT_NEAR(e.Find("beta")->estimate, -slope.estimate, 1e-10);
  EXPECT_NEAR(e.Find("beta")->low, -slope.high, 1e-6);
  EXPECT_NEAR(e.Find("beta")->high, -slope.low, 1e-6);
}

TEST(Laws, SharedTrunksHaveNoIntervals) {
  Noise noise(1);
  const auto power = [](double d) { return 20 * std::pow(d, -0.1); };
  std::vector<Observation> trials = Planted(LogRange(1e8, 64, 6), 2, 0.001, &noise, power);
  const FitResult apart = *FitLaw(trials, {.law = Law::kPower});
  EXPECT_EQ(apart.verdict, FitVerdict::kIdentified) << apart.reason;
  for (Observation& o : trials) o.cluster = absl::StrCat("trunk", o.seed);
  const FitResult fit = *FitLaw(trials, {.law = Law::kPower});
  EXPECT_EQ(fit.verdict, FitVerdict::kNotIdentified);
  EXPECT_THAT(fit.reason, HasSubstr("not identified: trials share trunks"));
  EXPECT_EQ(fit.provenance.interval_basis, "");
  for (const FitParameter& parameter : fit.parameters) {
    EXPECT_EQ(parameter.estimate, apart.Find(parameter.name)->estimate);
    EXPECT_TRUE(std::isnan(parameter.low) && std::isnan(parameter.high)) << parameter.name;
  }
}

TEST(Laws, AiccPrefersTheLawThatMadeThePoints) {
  const auto aicc = [](const std::vector<Observation>& trials, Law law) {
    return FitLaw(trials, {.law = law})->provenance.aicc;
  };
  const std::vector<Observation> grid = TrialsOf(Law::kJoint, 0.002, 5);
  EXPECT_LT(aicc(grid, Law::kJoint), aicc(grid, Law::kKaplan));
  const std::vector<Observation> kaplan = TrialsOf(Law::kKaplan, 0.002, 5);
  EXPECT_LT(aicc(kaplan, Law::kKaplan), aicc(kaplan, Law::kEqualExponent));
  const std::vector<Observation> bent = TrialsOf(Law::kBroken, 0.002, 5);
  EXPECT_LT(aicc(bent, Law::kBroken), aicc(bent, Law::kPower));
}

TEST(Laws, TooFewPointsAreNamedWithTheTrialThatHelps) {
  const FitResult fit =
      *FitLaw(Line([](double) { return 2.5; }, 4, 3, 0.001, 1), {.law = Law::kSaturating});
  EXPECT_EQ(fit.status, FitStatus::kTooFewPoints);
  EXPECT_EQ(fit.reason,
            "3 parameters need 4 configurations at different D and there are 3; train 1 more");
  EXPECT_EQ(fit.cure, "train a trial at D = 8e+08, one step beyond the largest");
  EXPECT_THAT(FitLaw(TrialsOf(Law::kJoint, 0, 1), {.law = Law::kDataConstrained})->reason,
              HasSubstr("needs 3 different numbers of epochs and there are 1"));
  EXPECT_EQ(FitLaw({}, {.law = Law::kBroken})->status, FitStatus::kTooFewPoints);
  EXPECT_THAT(ParseLaw("cubic").status().message(), HasSubstr("choose one of power, saturating"));
}

// A law of N and D may want for one of them alone.
TEST(Laws, CuresOfTheJointFormNameTheSizeThatIsMissing) {
  const auto grid = [](std::vector<double> sizes, std::vector<double> tokens, double noise = 0.002,
                       double d_term = 2100) {
    Noise scatter(5);
    std::vector<Observation> trials;
    for (const double n : sizes) {
      for (const double d : tokens) {
        const double loss = 1.8 + 480 * std::pow(n, -0.35) + d_term * std::pow(d, -0.37);
        trials.push_back(At(n, d, loss * std::exp(noise * scatter.Next())));
      }
    }
    return *FitLaw(trials, {.law = Law::kJoint});
  };
  const FitResult two_sizes = grid({1e7, 4e7}, LogRange(1e8, 64, 5));
  EXPECT_EQ(two_sizes.status, FitStatus::kTooFewPoints);
  EXPECT_EQ(two_sizes.cure, "train trials at N = 1.6e+08, one step beyond the largest, at each D");
  const FitResult two_budgets = grid(LogRange(1e7, 64, 5), {1e8, 4e8});
  EXPECT_EQ(two_budgets.cure,
            "train trials at D = 1.6e+09, one step beyond the largest, at each N");
  // Sizes that hardly differ leave alpha open.
  const FitResult narrow = grid(LogRange(1e7, 4, 4), LogRange(1e8, 100, 6));
  EXPECT_EQ(narrow.status, FitStatus::kNotIdentified) << narrow.reason;
  EXPECT_EQ(narrow.cure, "train trials at N = 6.4e+08, 64x the smallest");
  const FitResult noisy = grid(LogRange(1e7, 100, 4), LogRange(1e8, 100, 5), 0.05);
  EXPECT_THAT(noisy.cure, testing::AnyOf(HasSubstr("more seeds at each configuration"),
                                         HasSubstr("where each term would stand out")));
}

// All losses equal: any exponent does as well, and no start is at fault.
TEST(Laws, FlatDataAreNotMultimodal) {
  for (const Law law : {Law::kSaturating, Law::kPower}) {
    const FitResult flat = *FitLaw(Line([](double) { return 2.5; }, 64, 6, 0, 1), {.law = law});
    EXPECT_NE(flat.status, FitStatus::kMultimodal) << LawName(law) << ": " << flat.reason;
    EXPECT_THAT(flat.reason, Not(HasSubstr("MULTIMODAL"))) << LawName(law);
  }
}

TEST(Laws, StatusesHaveWordsAndCures) {
  // A pure power law leaves no floor.
  const FitResult bound =
      *FitLaw(Line([](double d) { return 4000 * std::pow(d, -0.3); }, 64, 6, 0, 1),
              {.law = Law::kSaturating});
  EXPECT_EQ(bound.status, FitStatus::kAtBound);
  EXPECT_THAT(bound.cure, HasSubstr("train a trial at D = 2.56e+10, where a floor"));
  const FitResult wide =
      *FitLaw(Line([](double d) { return 1.9 + 0.6 * std::pow(d / 5e8, -0.35); }, 7, 5, 0.003, 12),
              {.law = Law::kSaturating});
  EXPECT_EQ(wide.status, FitStatus::kNotIdentified);
  EXPECT_EQ(wide.cure, "train trials at D = 6.4e+09, 64x the smallest");
  for (const FitStatus status :
       {FitStatus::kConverged, FitStatus::kAtBound, FitStatus::kMultimodal,
        FitStatus::kTooFewPoints, FitStatus::kNotIdentified, FitStatus::kRefused}) {
    EXPECT_GT(std::string(FitStatusWords(status)).size(), 20u);
  }
}

// Sizes from 1e-300 to 1e300: log space throughout.
TEST(Laws, ExtremeSizesNeitherOverflowNorVanish) {
  for (const double scale : {1e-290, 1e-100, 1e100, 1e280}) {
    std::vector<Observation> trials = TrialsOf(Law::kJoint, 0.001, 2);
    for (Observation& o : trials) {
      o.n_params *= scale;
      o.d_tokens *= scale;
      o.d_unique *= scale;
      o.c_flops = 1;
    }
    for (const Law law : {Law::kJoint, Law::kKaplan, Law::kEqualExponent}) {
      const FitResult fit = *FitLaw(trials, {.law = law});
      EXPECT_TRUE(std::isfinite(fit.provenance.objective_value)) << LawName(law) << scale;
      EXPECT_TRUE(std::isfinite(fit.Find("beta")->estimate)) << LawName(law) << scale;
    }
    EXPECT_NEAR(FitLaw(trials, {.law = Law::kJoint})->Find("beta")->estimate, 0.37, 0.02);
  }
}

}  // namespace
}  // namespace loglog
