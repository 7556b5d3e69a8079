#include "cli/trial_stats.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/numbers.h"

namespace loglog::cli {

double AxisNumber(const std::string& value) {
  double number = NAN;
  return absl::SimpleAtod(value, &number) ? number : NAN;
}

std::vector<std::string> SortedValues(std::vector<std::string> values) {
  std::sort(values.begin(), values.end(), [](const std::string& a, const std::string& b) {
    const double x = AxisNumber(a);
    const double y = AxisNumber(b);
    if (std::isnan(x) != std::isnan(y)) return std::isnan(y);
    return std::isnan(x) || x == y ? a < b : x < y;
  });
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

std::vector<std::string> Arms(const std::vector<v1::Trial>& trials) {
  std::vector<std::string> arms;
  std::set<std::string> seen;
  for (const v1::Trial& trial : trials) {
    if (seen.insert(trial.arm()).second) arms.push_back(trial.arm());
  }
  return arms;
}

std::vector<std::string> ArmAxes(const std::vector<v1::Trial>& trials) {
  // axis -> arm -> values
  std::map<std::string, std::map<std::string, std::set<std::string>>> seen;
  for (const v1::Trial& trial : trials) {
    for (const auto& [axis, value] : trial.axes()) seen[axis][trial.arm()].insert(value);
  }
  std::vector<std::string> axes;
  for (const auto& [axis, by_arm] : seen) {
    std::set<std::string> all;
    bool constant = true;
    for (const auto& [arm, values] : by_arm) {
      constant = constant && values.size() == 1;
      all.insert(values.begin(), values.end());
    }
    if (constant && all.size() > 1) axes.push_back(axis);
  }
  return axes;
}

double ScaleOf(const v1::Trial& trial, const std::string& axis) {
  if (axis == "N") return static_cast<double>(trial.params_non_embedding());
  if (axis == "C") return trial.flops();
  return static_cast<double>(trial.tokens_planned());
}

std::string MainScale(const std::vector<v1::Trial>& trials) {
  std::set<int64_t> tokens, params;
  for (const v1::Trial& trial : trials) {
    tokens.insert(trial.tokens_planned());
    params.insert(trial.params_non_embedding());
  }
  return tokens.size() <= 1 && params.size() > 1 ? "N" : "D";
}

std::vector<Observation> DoneTrials(const std::vector<v1::Trial>& trials, const std::string& arm) {
  std::vector<Observation> done;
  for (const v1::Trial& trial : trials) {
    if (trial.arm() != arm || trial.state() != v1::Trial::DONE ||
        !std::isfinite(trial.final_loss())) {
      continue;
    }
    done.push_back({.n_params = static_cast<double>(trial.params_non_embedding()),
                    .d_tokens = static_cast<double>(trial.tokens_planned()),
                    .c_flops = trial.flops(),
                    .loss = trial.final_loss(),
                    .seed = trial.seed(),
                    .config = trial.cell_sha256(),
                    .cluster = ""});
  }
  return done;
}

bool CarriesJointForm(const std::vector<Observation>& trials) {
  constexpr size_t kDistinctMin = 3;
  std::set<double> sizes, tokens;
  for (const Observation& o : trials) {
    sizes.insert(o.n_params);
    tokens.insert(o.d_tokens);
  }
  return sizes.size() >= kDistinctMin && tokens.size() >= kDistinctMin;
}

Law SharedLaw(const std::string& form, const std::vector<ArmTrials>& arms) {
  for (const Law law : {Law::kJoint, Law::kSaturating}) {
    if (form == LawName(law)) return law;
  }
  std::vector<Observation> all;
  for (const ArmTrials& arm : arms) all.insert(all.end(), arm.trials.begin(), arm.trials.end());
  return CarriesJointForm(all) ? Law::kJoint : Law::kSaturating;
}

Moments MomentsOf(const std::vector<double>& values) {
  Moments m = {.n = static_cast<int>(values.size()), .mean = NAN, .sd = NAN};
  if (m.n == 0) return m;
  double sum = 0;
  for (const double v : values) sum += v;
  m.mean = sum / m.n;
  if (m.n < 2) return m;
  double squares = 0;
  for (const double v : values) squares += (v - m.mean) * (v - m.mean);
  m.sd = std::sqrt(squares / (m.n - 1));
  return m;
}

Moments Group::moments() const {
  std::vector<double> values;
  for (const auto& [seed, loss] : losses) values.push_back(loss);
  return MomentsOf(values);
}

ScaleKey ScaleKeyOf(const v1::Trial& trial) {
  return {trial.tokens_planned(), trial.params_non_embedding()};
}

Groups GroupTrials(const std::vector<v1::Trial>& trials) {
  Groups groups;
  for (const v1::Trial& trial : trials) {
    Group& g = groups[trial.arm()][ScaleKeyOf(trial)];
    ++g.total;
    switch (trial.state()) {
      case v1::Trial::PENDING:
        ++g.pending;
        break;
      case v1::Trial::RUNNING:
        ++g.running;
        if (trial.steps() > 0) g.progress += static_cast<double>(trial.step()) / trial.steps();
        break;
      case v1::Trial::DONE:
        ++g.done;
        if (std::isfinite(trial.final_loss())) g.losses[trial.seed()] = trial.final_loss();
        break;
      case v1::Trial::DIVERGED:
        ++g.diverged;
        break;
      case v1::Trial::FAILED:
        ++g.failed;
        break;
      case v1::Trial::CANCELLED:
        ++g.cancelled;
        break;
      case v1::Trial::STOPPED:
        ++g.stopped;
        break;
      default:
        break;
    }
  }
  for (auto& [arm, by_scale] : groups) {
    for (auto& [key, g] : by_scale) {
      if (g.running > 0) g.progress /= g.running;
    }
  }
  return groups;
}

}  // namespace loglog::cli
