#include "cli/checks.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/render/text.h"
#include "cli/tables.h"
#include "cli/trial_stats.h"

namespace loglog::cli {
namespace {

// A sweep's trials prepared once for all checks.
struct Facts {
  const CheckInput& input;
  std::string sweep;  // short name, for commands
  std::vector<std::string> arms;
  std::vector<std::string> arm_axes;
  Groups groups;
  bool open = false;  // trials are pending or running
};

std::string Submit(const std::string& change) {
  return absl::StrCat("loglog submit SPEC ", ShellQuote(change));
}

// The value one step beyond the end of an axis: by the last ratio where the values
// grow geometrically, by the last difference otherwise.
std::string NextValue(const std::vector<double>& values, bool upper) {
  const size_t n = values.size();
  const double end = upper ? values[n - 1] : values[0];
  const double before = upper ? values[n - 2] : values[1];
  // Whichever of equal steps and equal ratios is nearer to what the axis has.
  const double first_step = values[1] - values[0];
  const double last_step = values[n - 1] - values[n - 2];
  const bool geometric =
      values[0] > 0 &&
      std::abs(std::log(values[1] / values[0]) / std::log(values[n - 1] / values[n - 2]) - 1) <
          std::abs(first_step / last_step - 1);
  return Significant(geometric ? end * end / before : 2 * end - before, 3);
}

void Edge(const Facts& facts, std::vector<Check>* checks) {
  // At the largest scale that every arm with any result has reached.
  std::map<ScaleKey, int> reached;
  for (const auto& [arm, by_scale] : facts.groups) {
    for (const auto& [key, group] : by_scale) reached[key] += group.done > 0 ? 1 : 0;
  }
  if (facts.open || reached.empty()) return;
  const ScaleKey scale = reached.rbegin()->first;
  std::string best_arm;
  double best = INFINITY;
  for (const auto& [arm, by_scale] : facts.groups) {
    const auto it = by_scale.find(scale);
    if (it == by_scale.end() || it->second.done == 0) continue;
    if (const double mean = it->second.moments().mean; mean < best) {
      best = mean;
      best_arm = arm;
    }
  }
  if (best_arm.empty()) return;
  for (const std::string& axis : facts.arm_axes) {
    std::set<double> values;
    double at_best = NAN;
    for (const v1::Trial& trial : facts.input.trials) {
      const auto it = trial.axes().find(axis);
      if (it == trial.axes().end()) continue;
      const double value = AxisNumber(it->second);
      if (std::isnan(value)) continue;
      values.insert(value);
      if (trial.arm() == best_arm) at_best = value;
    }
    if (values.size() < 3 || std::isnan(at_best)) continue;
    const bool upper = at_best == *values.rbegin();
    if (!upper && (at_best != *values.begin() || at_best == 0)) continue;
    const std::vector<double> sorted(values.begin(), values.end());
    std::vector<std::string> wider;
    if (!upper) wider.push_back(NextValue(sorted, false));
    for (const double v : sorted) wider.push_back(Significant(v, 6));
    if (upper) wider.push_back(NextValue(sorted, true));
    checks->push_back(
        {"EDGE",
         absl::StrCat("the best loss is at ", axis, "=", Significant(at_best, 6), ", the ",
                      upper ? "upper" : "lower", " end of its axis: the optimum may lie outside"),
         Submit(absl::StrCat("axes.", axis, ".values=[", absl::StrJoin(wider, ","), "]"))});
  }
}

void Diverged(const Facts& facts, std::vector<Check>* checks) {
  int total = 0;
  int diverged = 0;
  std::map<std::string, std::map<std::string, std::pair<int, int>>> by_axis;
  for (const v1::Trial& trial : facts.input.trials) {
    const bool bad = trial.state() == v1::Trial::DIVERGED;
    ++total;
    diverged += bad;
    for (const auto& [axis, value] : trial.axes()) {
      auto& [bad_here, here] = by_axis[axis][value];
      bad_here += bad;
      ++here;
    }
    auto& [bad_here, here] = by_axis["arm"][trial.arm()];
    bad_here += bad;
    ++here;
  }
  if (diverged == 0) return;
  // The value whose share stands out most.
  std::string where;
  double worst = static_cast<double>(diverged) / total;
  for (const auto& [axis, values] : by_axis) {
    if (values.size() < 2) continue;
    for (const auto& [value, counts] : values) {
      const double share = static_cast<double>(counts.first) / counts.second;
      if (share > worst + 1e-9) {
        worst = share;
        where = absl::StrCat(", most at ", axis, "=", value, " (", counts.first, " of ",
                             counts.second, ")");
      }
    }
  }
  checks->push_back({"DIVERGED",
                     absl::StrCat(diverged, " of ", total, " trials diverged", where,
                                  "; they stay out of fits, and are counted"),
                     absl::StrCat("loglog trial list ", facts.sweep, " --state diverged")});
}

void Noise(const Facts& facts, std::vector<Check>* checks) {
  if (facts.arms.size() < 2) return;
  // Pooled over every arm and scale with two seeds or more.
  double squares = 0;
  int freedom = 0;
  size_t most_seeds = 0;
  std::map<std::string, std::pair<double, int>> arm_means;  // sum of ln loss, count
  for (const auto& [arm, by_scale] : facts.groups) {
    for (const auto& [key, group] : by_scale) {
      const Moments m = group.moments();
      most_seeds = std::max(most_seeds, group.losses.size());
      if (m.n >= 2) {
        squares += (m.n - 1) * (m.sd / m.mean) * (m.sd / m.mean);
        freedom += m.n - 1;
      }
      if (m.n >= 1) {
        arm_means[arm].first += std::log(m.mean);
        ++arm_means[arm].second;
      }
    }
  }
  if (facts.open || freedom == 0) return;
  std::vector<std::pair<double, std::string>> ranked;
  int scales = 0;
  for (const auto& [arm, sum] : arm_means) scales = std::max(scales, sum.second);
  for (const auto& [arm, sum] : arm_means) {
    if (sum.second == scales) ranked.push_back({sum.first / sum.second, arm});
  }
  if (ranked.size() < 2) return;
  std::sort(ranked.begin(), ranked.end());
  const double gap = ranked[1].first - ranked[0].first;  // relative
  const double sd = std::sqrt(squares / freedom);
  if (sd < gap) return;
  std::string need = "the arms are equal to within what this sweep can see";
  std::string fix = absl::StrCat("loglog compare ", ShellQuote(ranked[0].second), " ",
                                 ShellQuote(ranked[1].second), " --sweep ", facts.sweep);
  if (gap > 0) {
    // Two means of n seeds at each scale, 95%: gap = 1.96 sd sqrt(2 / (n scales)).
    const double seeds = std::ceil(2 * std::pow(1.96 * sd / gap, 2) / scales);
    if (seeds > most_seeds && seeds <= 1000) {
      need = absl::StrCat("about ", static_cast<int>(seeds), " seeds would separate them");
      std::vector<std::string> values;
      for (int s = 0; s < std::min<int>(static_cast<int>(seeds), 12); ++s) {
        values.push_back(absl::StrCat(s));
      }
      if (seeds <= 12)
        fix = Submit(absl::StrCat("axes.seed.values=[", absl::StrJoin(values, ","), "]"));
    } else if (seeds <= most_seeds) {
      need = "their means over all scales still differ by more than that noise";
    }
  }
  checks->push_back({"NOISE",
                     absl::StrCat("seeds differ by ", Significant(100 * sd, 2),
                                  "% (sd), the two best arms ", ranked[0].second, " and ",
                                  ranked[1].second, " by ", Significant(100 * gap, 2), "%: ", need),
                     fix});
}

void Range(const Facts& facts, std::vector<Check>* checks) {
  std::set<int64_t> tokens;
  for (const v1::Trial& trial : facts.input.trials) tokens.insert(trial.tokens_planned());
  if (tokens.size() < 2) return;
  const double span = static_cast<double>(*tokens.rbegin()) / static_cast<double>(*tokens.begin());
  if (span >= 10) return;
  std::vector<std::string> values;
  for (const int64_t t : tokens) values.push_back(absl::StrCat(t));
  double next = static_cast<double>(*tokens.rbegin());
  while (next < 10.0 * static_cast<double>(*tokens.begin())) next *= 2;
  values.push_back(absl::StrCat(static_cast<int64_t>(next)));
  std::string axis = "D";
  for (const v1::Trial& trial : facts.input.trials) {
    for (const auto& [name, value] : trial.axes()) {
      if (AxisNumber(value) == static_cast<double>(trial.tokens_planned())) axis = name;
    }
  }
  checks->push_back(
      {"RANGE",
       absl::StrCat("token budgets span ", Significant(span, 2),
                    "x, under a decade: local slopes are fine, an exponent with E "
                    "free will hardly be identified"),
       Submit(absl::StrCat("axes.", axis, ".values=[", absl::StrJoin(values, ","), "]"))});
}

void Imbalance(const Facts& facts, std::vector<Check>* checks) {
  if (facts.open || facts.arms.size() < 2) return;
  std::set<std::pair<ScaleKey, int64_t>> all;
  std::map<std::string, std::set<std::pair<ScaleKey, int64_t>>> done;
  for (const auto& [arm, by_scale] : facts.groups) {
    for (const auto& [key, group] : by_scale) {
      for (const auto& [seed, loss] : group.losses) {
        all.insert({key, seed});
        done[arm].insert({key, seed});
      }
    }
  }
  std::vector<std::string> short_arms;
  for (const std::string& arm : facts.arms) {
    if (done[arm].size() < all.size()) {
      short_arms.push_back(absl::StrCat(arm, " ", done[arm].size(), " of ", all.size()));
    }
  }
  if (short_arms.empty()) return;
  const size_t shown = std::min<size_t>(short_arms.size(), 3);
  const std::string more = short_arms.size() > shown
                               ? absl::StrCat(" and ", short_arms.size() - shown, " more arms")
                               : "";
  short_arms.resize(shown);
  checks->push_back(
      {"IMBALANCE",
       absl::StrCat("arms cover different budgets or seeds (", absl::StrJoin(short_arms, ", "),
                    more, "): comparisons use only the pairs both have"),
       absl::StrCat("loglog sweep retry ", facts.sweep)});
}

void Stale(const Facts& facts, std::vector<Check>* checks) {
  const v1::TrialCounts& n = facts.input.sweep.counts();
  if (n.failed() > 0) {
    checks->push_back({"STALE",
                       absl::StrCat(n.failed(), " of ", n.total(),
                                    " trials failed and leave cells empty; loglog trial list ",
                                    facts.sweep, " --state failed says why"),
                       absl::StrCat("loglog sweep retry ", facts.sweep)});
  }
  if (n.cancelled() > 0) {
    checks->push_back({"STALE",
                       absl::StrCat(n.cancelled(), " of ", n.total(),
                                    " trials were cancelled and leave cells empty"),
                       absl::StrCat("loglog sweep retry ", facts.sweep, " --cancelled")});
  }
  for (const v1::Trial& trial : facts.input.trials) {
    if (!absl::StartsWith(trial.message(), "stop_when: ")) continue;
    checks->push_back({"STOPPED", trial.message(), ""});
    break;
  }
  if (n.stopped() > 0) {
    checks->push_back({"STALE",
                       absl::StrCat(n.stopped(), " of ", n.total(),
                                    " trials were stopped early and fits leave them out"),
                       absl::StrCat("loglog sweep retry ", facts.sweep, " --stopped")});
  }
}

void Mixed(const Facts& facts, std::vector<Check>* checks) {
  std::map<std::string, std::string> device_of;
  for (const v1::Worker& w : facts.input.workers) device_of[w.name()] = w.device();
  const auto look = [&](absl::string_view what,
                        const std::function<std::string(const v1::Trial&)>& value_of) {
    std::map<std::string, std::set<std::string>> seen;
    for (const v1::Trial& trial : facts.input.trials) {
      if (trial.state() != v1::Trial::DONE) continue;
      const std::string value = value_of(trial);
      if (!value.empty()) seen[trial.arm()].insert(value);
    }
    for (const auto& [arm, values] : seen) {
      if (values.size() < 2) continue;
      std::vector<std::string> shown;
      for (const std::string& v : values) shown.push_back(v.substr(0, 16));
      checks->push_back(
          {"MIXED",
           absl::StrCat("arm ", arm, " mixes ", what, " (", absl::StrJoin(shown, ", "),
                        "): its losses may not be comparable"),
           absl::StrCat("loglog trial list ", facts.sweep, " -o csv")});
      return;
    }
  };
  look("trainer versions", [](const v1::Trial& t) { return t.trainer_version(); });
  look("training data", [](const v1::Trial& t) { return t.data_sha256(); });
  look("devices", [&](const v1::Trial& t) {
    const auto it = device_of.find(t.worker());
    return it == device_of.end() ? "" : it->second;
  });
}

void Fits(const Facts& facts, std::vector<Check>* checks) {
  if (facts.open) return;
  std::map<std::string, std::vector<std::string>> arms_by_message;
  for (const v1::Fit& fit : facts.input.fits) {
    if (fit.verdict() != v1::Fit::NOT_IDENTIFIED && fit.verdict() != v1::Fit::REFUSED) continue;
    const std::string what = absl::StrCat(
        fit.kind(), " in ", fit.axis(), " ",
        fit.verdict() == v1::Fit::REFUSED ? "refused" : "not identified", ": ", fit.message());
    arms_by_message[what].push_back(
        fit.arm_b().empty() ? fit.arm() : absl::StrCat(fit.arm(), " against ", fit.arm_b()));
  }
  int shown = 0;
  for (const auto& [message, arms] : arms_by_message) {
    if (++shown > 3) break;
    checks->push_back({"FIT",
                       absl::StrCat(arms.size() > 3 ? absl::StrCat(arms.size(), " arms")
                                                    : absl::StrJoin(arms, ", "),
                                    ": ", message),
                       absl::StrCat("loglog fit ", facts.sweep)});
  }
}

}  // namespace

std::vector<Check> RunChecks(const CheckInput& input) {
  Facts facts = {.input = input,
                 .sweep = ShortName(input.sweep.name()),
                 .arms = Arms(input.trials),
                 .arm_axes = ArmAxes(input.trials),
                 .groups = GroupTrials(input.trials)};
  for (const v1::Trial& trial : input.trials) {
    facts.open =
        facts.open || trial.state() == v1::Trial::PENDING || trial.state() == v1::Trial::RUNNING;
  }
  std::vector<Check> checks;
  Edge(facts, &checks);
  Diverged(facts, &checks);
  Noise(facts, &checks);
  Range(facts, &checks);
  Imbalance(facts, &checks);
  Stale(facts, &checks);
  Mixed(facts, &checks);
  Fits(facts, &checks);
  return checks;
}

std::string RenderChecks(const std::vector<Check>& checks, const Style& style) {
  if (checks.empty()) return "";
  std::string out = absl::StrCat(style.Bold("checks"), "\n");
  for (const Check& check : checks) {
    const std::vector<std::string> lines = Wrap(check.message, std::max(40, style.columns - 13));
    for (size_t i = 0; i < lines.size(); ++i) {
      absl::StrAppend(&out, "  ",
                      i == 0 ? style.Yellow(PadRight(check.code, 10)) : std::string(10, ' '), " ",
                      lines[i], "\n");
    }
    absl::StrAppend(&out, std::string(13, ' '), style.Dim(absl::StrCat("fix: ", check.fix)), "\n");
  }
  return out;
}

}  // namespace loglog::cli
