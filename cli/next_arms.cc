#include "cli/next_arms.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/csv_source.h"
#include "cli/fit_report.h"
#include "cli/render/text.h"
#include "cli/side_by_side.h"
#include "cli/spec_file.h"
#include "cli/tables.h"
#include "cli/trial_stats.h"
#include "plan/plan.h"

namespace loglog::cli {
namespace {

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

NextArm ArmOfTrials(const std::vector<v1::Trial>& trials, const std::string& name) {
  NextArm arm = {.name = name, .done = DoneTrials(trials, name)};
  for (const v1::Trial& trial : trials) {
    if (trial.arm() != name) continue;
    const double n = static_cast<double>(trial.params_non_embedding());
    const double d = static_cast<double>(trial.tokens_planned());
    arm.seeds[{n, d}].insert(trial.seed());
    arm.flops_per_token[n] = trial.flops() / d;
    if (trial.steps() > 0) arm.batch_tokens[n] = trial.tokens_planned() / trial.steps();
    if (trial.tokens_per_second() > 0) {
      arm.tokens_per_second[n].push_back(trial.tokens_per_second());
    }
  }
  arm.comparable = arm.done;
  return arm;
}

NextArm ArmOfPoints(const CsvPoints& points, const CsvArm& rows) {
  // As a spec labels its only arm.
  NextArm arm = {.name = rows.name.empty() ? "all" : rows.name,
                 .done = rows.trials,
                 .comparable = CsvComparable(points, rows)};
  const auto take = [&](const Observation& o) {
    arm.seeds[{o.n_params, o.d_tokens}].insert(o.seed);
  };
  for (const Observation& o : rows.trials) {
    take(o);
    arm.flops_per_token[o.n_params] = o.c_flops / o.d_tokens;
  }
  // Trained already, though no fit takes them.
  for (const Observation& o : rows.lost) take(o);
  for (const CensoredTrial& censored : rows.censored) take(censored.trial);
  return arm;
}

// A spec counts tokens, and a file may count in billions of them.
absl::Status CheckWholeTokens(const std::vector<NextArm>& arms) {
  for (const NextArm& arm : arms) {
    for (const Observation& o : arm.done) {
      if (o.d_tokens == std::round(o.d_tokens)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("--base is a spec in tokens, and D = ", Significant(o.d_tokens, 6),
                       " of the points is no whole number of them: write D in tokens"));
    }
  }
  return absl::OkStatus();
}

// The batches of a spec's cells, so that tokens to add are whole ones.
absl::Status ReadBatches(const SweepSpec& spec, bool has_sizes, std::vector<NextArm>* arms) {
  LOGLOG_ASSIGN_OR_RETURN(const Expansion expansion, Expand(spec));
  for (NextArm& arm : *arms) {
    for (const loglog::Cell& cell : expansion.cells) {
      if (cell.arm != arm.name) continue;
      const int64_t batch = cell.cost.tokens / cell.cost.steps;
      if (!has_sizes) arm.batch_tokens[1] = batch;
      arm.batch_tokens[static_cast<double>(cell.cost.params.non_embedding)] = batch;
      arm.batch_tokens[static_cast<double>(cell.cost.params.total)] = batch;
    }
  }
  return absl::OkStatus();
}

// Those asked for, or the first two.
absl::StatusOr<std::vector<std::string>> ArmsAsked(const Args& args,
                                                   const std::vector<std::string>& known,
                                                   const std::string& where) {
  std::vector<std::string> arms = args.All("arm");
  if (arms.empty()) arms.assign(known.begin(), known.begin() + std::min<size_t>(2, known.size()));
  for (const std::string& arm : arms) {
    if (std::find(known.begin(), known.end(), arm) != known.end()) continue;
    return WithHint(absl::NotFoundError(absl::StrCat(where, " has no arm `", arm, "`")),
                    absl::StrCat("its arms: ", absl::StrJoin(known, "; ")));
  }
  if (arms.empty() || arms.size() > 2) {
    return absl::InvalidArgumentError("name one arm, or the two to compare, with --arm");
  }
  return arms;
}

absl::StatusOr<NextArms> OfCsv(const Args& args) {
  LOGLOG_ASSIGN_OR_RETURN(const CsvSource source, ReadCsvSource(args));
  const CsvColumns& columns = source.columns;
  const bool has_tokens =
      !columns.tokens.empty() || (!columns.params.empty() && !columns.flops.empty());
  if (!has_tokens) {
    return absl::InvalidArgumentError(
        "the next trials are chosen by their tokens: name their column with --tokens, or those of "
        "parameters and FLOPs with --params and --flops");
  }
  NextArms read;
  read.has_sizes = !columns.params.empty() || !columns.flops.empty();
  std::vector<std::string> known;
  for (const CsvArm& arm : source.points.arms) known.push_back(arm.name);
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<std::string> arms,
                          ArmsAsked(args, known, Printable(source.path)));
  CsvPoints chosen = source.points;
  chosen.arms.clear();
  for (const std::string& name : arms) {
    for (const CsvArm& arm : source.points.arms) {
      if (arm.name == name) chosen.arms.push_back(arm);
    }
  }
  for (const CsvArm& arm : chosen.arms) read.arms.push_back(ArmOfPoints(chosen, arm));
  read.notes = chosen.notes;
  read.notes.push_back(CountedRows(chosen));
  if (arms.size() > 1 && !chosen.has_seeds) read.notes.push_back(kNoSeeds);
  if (args.Has("base")) {
    LOGLOG_RETURN_IF_ERROR(CheckWholeTokens(read.arms));
    LOGLOG_ASSIGN_OR_RETURN(const SweepSpec spec, LoadSpec(args.Get("base"), {}));
    LOGLOG_RETURN_IF_ERROR(ReadBatches(spec, read.has_sizes, &read.arms));
    read.spec = CanonicalJson(spec);
  }
  return read;
}

absl::StatusOr<NextArms> OfSweep(Context& context) {
  const Args& args = context.args();
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep, SweepToShow(context, *client, args.One("SWEEP")));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<v1::Trial> trials, client->ListTrials(sweep.name()));
  NextArms read;
  read.spec = sweep.spec_json();
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<std::string> arms,
                          ArmsAsked(args, Arms(trials), ShortName(sweep.name())));
  LOGLOG_RETURN_IF_ERROR(CheckSideBySide(sweep, trials, arms));
  for (const std::string& arm : arms) read.arms.push_back(ArmOfTrials(trials, arm));
  read.notes.push_back(LeftOutText(LostOf(trials, arms)));
  return read;
}

}  // namespace

absl::StatusOr<NextArms> ReadNextArms(Context& context) {
  return context.args().Has("csv") ? OfCsv(context.args()) : OfSweep(context);
}

absl::StatusOr<NextCost> CostOfNext(const Args& args, const NextArms& arms) {
  // A pair counts as twice its first arm's trial.
  const NextArm& arm = arms.arms[0];
  NextCost cost = {.unit = arms.has_sizes ? "FLOPs" : "tokens", .per_token = arm.flops_per_token};
  if (!arms.has_sizes) {
    for (auto& [n, per_token] : cost.per_token) per_token = 1;
  }
  if (args.Has("throughput")) {
    LOGLOG_ASSIGN_OR_RETURN(const double stated, args.Number("throughput", 1e-3, 1e15));
    const double largest = cost.per_token.empty() ? 1 : cost.per_token.rbegin()->second;
    for (auto& [n, per_token] : cost.per_token) per_token /= largest * stated;
    cost.unit = NextCost::kTime;
    return cost;
  }
  std::vector<double> flops_per_second;
  for (const auto& [n, speeds] : arm.tokens_per_second) {
    flops_per_second.push_back(Median(speeds) * arm.flops_per_token.at(n));
  }
  if (flops_per_second.empty()) return cost;
  const double typical = Median(flops_per_second);
  for (auto& [n, per_token] : cost.per_token) {
    const auto own = arm.tokens_per_second.find(n);
    per_token = own != arm.tokens_per_second.end() ? 1 / Median(own->second) : per_token / typical;
  }
  cost.unit = NextCost::kTime;
  return cost;
}

int64_t TakeSeed(double n_params, double tokens, std::vector<NextArm>* arms) {
  const auto taken = [&](int64_t seed) {
    return std::any_of(arms->begin(), arms->end(), [&](NextArm& arm) {
      return arm.seeds[{n_params, tokens}].contains(seed);
    });
  };
  int64_t seed = 0;
  while (taken(seed)) ++seed;
  for (NextArm& arm : *arms) arm.seeds[{n_params, tokens}].insert(seed);
  return seed;
}

std::vector<NextTrial> TrialsThere(const NextArms& arms) {
  std::vector<NextTrial> trials;
  for (const NextArm& arm : arms.arms) {
    for (const Observation& o : arm.done) {
      trials.push_back({.arm = arm.name,
                        .n_params = arms.has_sizes ? o.n_params : 0,
                        .tokens = std::llround(o.d_tokens),
                        .seed = o.seed});
    }
  }
  return trials;
}

}  // namespace loglog::cli
