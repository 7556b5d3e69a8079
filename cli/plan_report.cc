#include "cli/plan_report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/render/text.h"

namespace loglog::cli {
namespace {

std::string RangeText(int64_t low, int64_t high) {
  const std::string a = HumanCount(static_cast<double>(low));
  return low == high ? a : absl::StrCat(a, " to ", HumanCount(static_cast<double>(high)));
}

std::string SpeedText(const PlanReport& report) {
  const Throughput& t = report.throughput;
  const char* source = t.measured ? "measured" : "as stated";
  if (t.tokens_per_second.has_value()) {
    return absl::StrCat(HumanCount(*t.tokens_per_second), " tokens/s a slot, ", source);
  }
  if (t.flops_per_second.has_value()) {
    return absl::StrCat(HumanCount(*t.flops_per_second), " FLOP/s a slot, ", source);
  }
  return "";
}

std::string DroppedJson(const PlanReport& report) {
  std::vector<std::string> parts;
  for (const DroppedTrials& d : report.dropped) {
    parts.push_back(
        absl::StrCat("{\"constraint\": ", JsonString(d.constraint), ", \"count\": ", d.count, "}"));
  }
  return absl::StrCat("[", absl::StrJoin(parts, ", "), "]");
}

std::string WarningsJson(const PlanReport& report) {
  std::vector<std::string> parts;
  for (const PlanWarning& w : report.warnings) {
    parts.push_back(absl::StrCat("{\"code\": ", JsonString(w.code), ", \"message\": ",
                                 JsonString(w.message), ", \"fix\": ", JsonString(w.fix), "}"));
  }
  return absl::StrCat("[", absl::StrJoin(parts, ", "), "]");
}

std::string ErrorText(double error) {
  return std::isfinite(error) ? Significant(error, 2) : "not to be had";
}

// "small against large" or "small".
std::string ForecastText(const DesignForecast& f) {
  if (!f.arm_b.empty()) {
    return absl::StrCat(
        f.arm, " against ", f.arm_b, ": ", Plural(f.trials, "pair"), " at ",
        Plural(f.distinct_x, "value"), " of ", f.axis, "; slope difference +-",
        ErrorText(f.slope_se),
        std::isfinite(f.detectable)
            ? absl::StrCat("; one of ", Significant(f.detectable, 2), " is found 9 times of 10")
            : "; no difference is found 9 times of 10");
  }
  return absl::StrCat(f.arm, " in ", f.axis, ": ", Plural(f.trials, "trial"), " over ",
                      Significant(f.span, 3), "x; slope +-", ErrorText(f.slope_se),
                      "; exponent with E free +-", ErrorText(f.beta_se));
}

std::string GridText(const BetterGrid& grid) {
  std::vector<std::string> tokens;
  for (const double d : grid.tokens) tokens.push_back(HumanCount(d));
  return absl::StrCat("for no more tokens: D = ", absl::StrJoin(tokens, ", "), " with ",
                      absl::StrJoin(grid.seeds, ", "), " seeds gives slope +-",
                      ErrorText(grid.slope_se), ", exponent +-", ErrorText(grid.beta_se));
}

std::string ForecastsJson(const PlanReport& report) {
  std::vector<std::string> parts;
  for (const DesignForecast& f : report.forecasts) {
    parts.push_back(absl::StrCat(
        "{\"arm\": ", JsonString(f.arm), ", \"arm_b\": ", JsonString(f.arm_b), ", \"axis\": ",
        JsonString(f.axis), ", \"trials\": ", f.trials, ", \"slope_se\": ", JsonNumber(f.slope_se),
        ", \"beta_se\": ", JsonNumber(f.arm_b.empty() ? f.beta_se : NAN),
        ", \"detectable\": ", JsonNumber(f.arm_b.empty() ? NAN : f.detectable), "}"));
  }
  return absl::StrCat("[", absl::StrJoin(parts, ", "), "]");
}

// Above a tenth of the training it is worth asking whether so much is wanted.
std::string EvaluationNote(const PlanReport& report) {
  return report.all.eval_flops > 0.1 * report.all.flops ? "; eval.every, eval.tokens" : "";
}

std::string StringsJson(const std::vector<std::string>& strings) {
  return absl::StrCat("[",
                      absl::StrJoin(strings, ", ",
                                    [](std::string* out, const std::string& s) {
                                      absl::StrAppend(out, JsonString(s));
                                    }),
                      "]");
}

}  // namespace

std::string RenderPlan(const PlanScreen& plan, const Style& style) {
  const PlanReport& r = plan.report;
  std::string out = absl::StrCat(style.Bold(plan.name), "\n");
  const auto line = [&](const char* key, const std::string& value) {
    const std::vector<std::string> lines = Wrap(value, std::max(40, style.columns - 14));
    for (size_t i = 0; i < lines.size(); ++i) {
      absl::StrAppend(&out, "  ", style.Dim(PadRight(i == 0 ? key : "", 12)), lines[i], "\n");
    }
  };
  line("trials",
       absl::StrCat(r.all.trials, ": ", Plural(r.all.cells, "cell"), " over seeds",
                    plan.axes.empty() ? "" : absl::StrCat("; ", absl::StrJoin(plan.axes, ", "))));
  const size_t shown = std::min<size_t>(plan.arms.size(), 6);
  line("arms", absl::StrCat(plan.arms.size(), ": ",
                            absl::StrJoin(plan.arms.begin(), plan.arms.begin() + shown, "; "),
                            plan.arms.size() > shown ? "; ..." : ""));
  for (const DroppedTrials& d : r.dropped) {
    if (d.count > 0) line("dropped", absl::StrCat(Plural(d.count, "trial"), " by ", d.constraint));
  }
  if (plan.server.has_value()) {
    line("reuse", absl::StrCat(plan.server->trials_new, " new, ", plan.server->trials_reused,
                               " already in the store and shared"));
  } else if (r.reused > 0) {
    line("reuse", absl::StrCat(r.fresh.trials, " new, ", r.reused, " reused"));
  }
  line("model", absl::StrCat(RangeText(r.params_min, r.params_max), " parameters"));
  // What is there already costs nothing again.
  const auto fresh = [&](double count) {
    return r.reused > 0 ? absl::StrCat("; ", HumanCount(count), " of them new") : "";
  };
  line("tokens", absl::StrCat(HumanCount(static_cast<double>(r.all.tokens)), " in all, ",
                              RangeText(r.tokens_min, r.tokens_max), " a trial",
                              fresh(static_cast<double>(r.fresh.tokens))));
  line("FLOPs", absl::StrCat(HumanCount(r.all.flops), " exact; ", HumanCount(r.all.flops_6nd),
                             " as 6ND", fresh(r.fresh.flops)));
  line("evaluation", absl::StrCat(HumanCount(r.all.eval_flops), " FLOPs on top, ",
                                  Significant(100 * r.all.eval_flops / r.all.flops, 2),
                                  "% of training's", EvaluationNote(r)));
  if (r.all.branches > 0) {
    line("trunks", absl::StrCat(Plural(r.all.branches, "trial"), " go on from a longer one's ",
                                "checkpoint, which saves ", HumanCount(r.all.shared_flops),
                                " FLOPs; the sums above have them once"));
  }
  const std::string speed = SpeedText(r);
  if (r.slot_hours.has_value()) {
    line("time",
         absl::StrCat(HumanDuration(*r.slot_hours * 3600), " of one slot; ",
                      r.wall_hours.has_value() ? absl::StrCat(HumanDuration(*r.wall_hours * 3600),
                                                              " on ", Plural(r.slots, "slot"), " ")
                                               : "",
                      "(", speed, ")"));
  } else {
    line("time", "not known: give the speed of one slot with --throughput TOKENS_PER_S");
  }
  line("memory", absl::StrCat("about ", HumanBytes(static_cast<double>(r.memory_bytes_max)),
                              " for the hungriest trial"));
  line("disk",
       absl::StrCat(HumanBytes(static_cast<double>(r.disk_bytes)), " of checkpoints at most, ",
                    HumanBytes(static_cast<double>(r.checkpoint_bytes_max)), " the largest"));
  if (!r.forecasts.empty()) {
    line("to expect", absl::StrCat("standard errors where a trial's loss scatters by ",
                                   Significant(100 * r.seed_noise, 2), "% over seeds:"));
    for (const DesignForecast& forecast : r.forecasts) line("", ForecastText(forecast));
    if (!r.better_grid.tokens.empty()) line("", GridText(r.better_grid));
  }
  if (!r.warnings.empty()) absl::StrAppend(&out, "\n", style.Bold("warnings"), "\n");
  for (const PlanWarning& warning : r.warnings) {
    const std::vector<std::string> lines = Wrap(warning.message, std::max(40, style.columns - 14));
    for (size_t i = 0; i < lines.size(); ++i) {
      absl::StrAppend(&out, "  ",
                      i == 0 ? style.Yellow(PadRight(warning.code, 11)) : std::string(11, ' '), " ",
                      lines[i], "\n");
    }
    if (warning.fix.empty()) continue;
    for (const std::string& text :
         Wrap(absl::StrCat("fix: ", warning.fix), std::max(40, style.columns - 14))) {
      absl::StrAppend(&out, std::string(14, ' '), style.Dim(text), "\n");
    }
  }
  return out;
}

Table PlanTable(const PlanScreen& plan) {
  const PlanReport& r = plan.report;
  const auto hours = [](const std::optional<double>& h) {
    return h.has_value() ? Cell::Real(*h, 3) : Cell::None();
  };
  Table table;
  table.columns = {{"name"},
                   {"trials", true},
                   {"cells", true},
                   {"arms"},
                   {"tokens", true},
                   {"flops", true},
                   {"flops_6nd", true},
                   {"eval_flops", true},
                   {"shared_flops", true},
                   {"tokens_new", true},
                   {"flops_new", true},
                   {"trials_new", true},
                   {"trials_reused", true},
                   {"slot_hours", true},
                   {"wall_hours", true},
                   {"slots", true},
                   {"params_min", true},
                   {"params_max", true},
                   {"tokens_min", true},
                   {"tokens_max", true},
                   {"memory_bytes_max", true},
                   {"checkpoint_bytes_max", true},
                   {"disk_bytes", true},
                   {"grid_trials", true},
                   {"dropped"},
                   {"warnings"},
                   {"forecasts"},
                   {"formula"},
                   {"spec_sha256"}};
  table.rows = {{Cell::Text(plan.name),
                 Cell::Int(r.all.trials),
                 Cell::Int(r.all.cells),
                 Cell::Json(absl::StrJoin(plan.arms, ";"), StringsJson(plan.arms)),
                 Cell::Int(r.all.tokens),
                 Cell::Count(r.all.flops),
                 Cell::Count(r.all.flops_6nd),
                 Cell::Count(r.all.eval_flops),
                 Cell::Count(r.all.shared_flops),
                 Cell::Int(r.fresh.tokens),
                 Cell::Count(r.fresh.flops),
                 Cell::Int(plan.server.has_value() ? plan.server->trials_new : r.fresh.trials),
                 Cell::Int(plan.server.has_value() ? plan.server->trials_reused : r.reused),
                 hours(r.slot_hours),
                 hours(r.wall_hours),
                 Cell::Int(r.slots),
                 Cell::Int(r.params_min),
                 Cell::Int(r.params_max),
                 Cell::Int(r.tokens_min),
                 Cell::Int(r.tokens_max),
                 Cell::Int(r.memory_bytes_max),
                 Cell::Int(r.checkpoint_bytes_max),
                 Cell::Int(r.disk_bytes),
                 Cell::Int(r.grid_trials),
                 Cell::Json("", DroppedJson(r)),
                 Cell::Json("", WarningsJson(r)),
                 Cell::Json("", ForecastsJson(r)),
                 Cell::Text(r.formula),
                 Cell::Text(plan.spec_sha256)}};
  return table;
}

}  // namespace loglog::cli
