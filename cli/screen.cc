#include "cli/screen.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/render/text.h"
#include "cli/tables.h"
#include "cli/trial_stats.h"

namespace loglog::cli {
namespace {

GridCell ToCell(const Group& group) {
  return {.total = group.total,
          .pending = group.pending,
          .running = group.running,
          .done = group.done,
          .diverged = group.diverged,
          .failed = group.failed + group.cancelled + group.stopped,
          .progress = group.progress,
          .value = group.moments().mean};
}

std::string ScaleLabel(const ScaleKey& key, bool tokens_vary, bool params_vary) {
  const std::string tokens = HumanCount(static_cast<double>(key.tokens));
  const std::string params = HumanCount(static_cast<double>(key.params));
  if (tokens_vary && params_vary) return absl::StrCat(params, "/", tokens);
  return params_vary ? params : tokens;
}

Grid ArmAxesGrid(const std::vector<v1::Trial>& trials, const std::vector<std::string>& axes,
                 const Groups& groups, const std::string& place_for_scale) {
  // The largest scale with any result; before there is one, the first to come.
  ScaleKey scale;
  bool any_done = false;
  for (const auto& [arm, by_scale] : groups) {
    for (const auto& [key, group] : by_scale) {
      if (group.done + group.diverged > 0 && (!any_done || scale < key)) {
        scale = key;
        any_done = true;
      }
    }
  }
  if (!any_done) scale = groups.begin()->second.begin()->first;
  Grid grid;
  grid.row_axis = axes[0];
  grid.column_axis = axes[1];
  grid.title = absl::StrCat(
      "final loss/val",
      place_for_scale.empty()
          ? ""
          : absl::StrCat(" at ", place_for_scale, " = ",
                         ScaleLabel(scale, place_for_scale != "N", place_for_scale != "D")),
      ", mean over seeds");
  std::map<std::pair<std::string, std::string>, std::string> arm_at;
  for (const v1::Trial& trial : trials) {
    const std::string& row = trial.axes().at(axes[0]);
    const std::string& column = trial.axes().at(axes[1]);
    grid.rows.push_back(row);
    grid.columns.push_back(column);
    arm_at[{row, column}] = trial.arm();
  }
  grid.rows = SortedValues(grid.rows);
  grid.columns = SortedValues(grid.columns);
  for (const std::string& row : grid.rows) {
    grid.cells.emplace_back();
    for (const std::string& column : grid.columns) {
      GridCell cell;
      if (const auto arm = arm_at.find({row, column}); arm != arm_at.end()) {
        const auto& by_scale = groups.at(arm->second);
        if (const auto it = by_scale.find(scale); it != by_scale.end()) cell = ToCell(it->second);
      }
      grid.cells.back().push_back(cell);
    }
  }
  return grid;
}

}  // namespace

Grid BuildGrid(const std::vector<v1::Trial>& trials) {
  if (trials.empty()) return {};
  const Groups groups = GroupTrials(trials);
  std::set<int64_t> tokens, params;
  std::set<ScaleKey> scales;
  for (const v1::Trial& trial : trials) {
    tokens.insert(trial.tokens_planned());
    params.insert(trial.params_non_embedding());
    scales.insert(ScaleKeyOf(trial));
  }
  const bool tokens_vary = tokens.size() > 1;
  const bool params_vary = params.size() > 1;
  const std::string scale_axis = tokens_vary && params_vary ? "N/D"
                                 : params_vary              ? "N"
                                 : tokens_vary              ? "D"
                                                            : "";
  const std::vector<std::string> axes = ArmAxes(trials);
  const bool complete =
      axes.size() == 2 && std::all_of(trials.begin(), trials.end(), [&](const auto& t) {
        return t.axes().contains(axes[0]) && t.axes().contains(axes[1]);
      });
  if (complete && Arms(trials).size() > 3) return ArmAxesGrid(trials, axes, groups, scale_axis);

  Grid grid;
  grid.title = "final loss/val, mean over seeds";
  grid.row_axis = "arm";
  grid.column_axis = params_vary && !tokens_vary ? "N" : params_vary ? "N/D" : "D";
  grid.one_best = false;
  grid.rows = Arms(trials);
  for (const ScaleKey& scale : scales) {
    grid.columns.push_back(ScaleLabel(scale, tokens_vary, params_vary));
  }
  for (const std::string& arm : grid.rows) {
    grid.cells.emplace_back();
    for (const ScaleKey& scale : scales) {
      const auto it = groups.at(arm).find(scale);
      grid.cells.back().push_back(it == groups.at(arm).end() ? GridCell() : ToCell(it->second));
    }
  }
  return grid;
}

bool HasEnded(const v1::Sweep& sweep) {
  return sweep.state() == v1::Sweep::DONE || sweep.state() == v1::Sweep::CANCELLED;
}

Screen BuildScreen(const CheckInput& input) {
  const v1::Sweep& sweep = input.sweep;
  Screen screen = {.sweep = ShortName(sweep.name()),
                   .state = StateWord(sweep.state()),
                   .counts = sweep.counts(),
                   .tokens_per_second = sweep.tokens_per_second(),
                   .slots_busy = sweep.slots_busy(),
                   .slots_total = sweep.slots_total(),
                   .slot_seconds_used = sweep.slot_seconds_used(),
                   .slot_seconds_left = sweep.slot_seconds_left(),
                   .slot_seconds_left_low = sweep.slot_seconds_left_low(),
                   .slot_seconds_left_high = sweep.slot_seconds_left_high(),
                   .grid = BuildGrid(input.trials),
                   .checks = RunChecks(input)};
  double planned = 0, done = 0, running = 0;
  std::map<std::string, int> reasons;
  for (const v1::Trial& trial : input.trials) {
    // Nobody waits for it any more, and it was not trained.
    if (trial.state() == v1::Trial::CANCELLED) continue;
    const auto tokens = static_cast<double>(trial.tokens_planned());
    planned += tokens;
    if (trial.state() == v1::Trial::PENDING) {
      ++reasons[trial.pending_reason()];
    } else if (trial.state() == v1::Trial::RUNNING) {
      running += static_cast<double>(trial.tokens());
    } else {
      done += tokens;
    }
  }
  if (planned > 0) {
    screen.done_share = done / planned;
    screen.running_share = running / planned;
  }
  for (const auto& [reason, count] : reasons) {
    if (!reason.empty()) screen.pending_reasons.push_back({reason, count});
  }
  std::stable_sort(screen.pending_reasons.begin(), screen.pending_reasons.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  int live = 0, on_gpu = 0;
  for (const v1::Worker& worker : input.workers) {
    if (worker.state() != v1::Worker::LIVE) continue;
    ++live;
    if (worker.device() != "cpu" && !worker.device().empty()) ++on_gpu;
  }
  if (live > 0 && on_gpu == live) screen.slot_word = "GPU";
  return screen;
}

namespace {

std::string CountsText(const v1::TrialCounts& n) {
  std::vector<std::string> parts = {absl::StrCat(n.done(), " done")};
  const auto add = [&](int count, const char* word) {
    if (count > 0) parts.push_back(absl::StrCat(count, " ", word));
  };
  add(n.running(), "running");
  add(n.pending(), "pending");
  add(n.diverged(), "diverged");
  add(n.failed(), "failed");
  add(n.cancelled(), "cancelled");
  add(n.stopped(), "stopped early");
  std::string text = absl::StrCat(Plural(n.total(), "trial"), ": ", absl::StrJoin(parts, ", "));
  if (n.reused() > 0) absl::StrAppend(&text, "; ", n.reused(), " of them reused");
  return text;
}

bool IsOpen(const Screen& s) { return s.counts.pending() + s.counts.running() > 0; }

std::string EtaText(const Screen& s) {
  if (!IsOpen(s)) return "";
  if (s.slot_seconds_left <= 0) return "ETA not known yet: no throughput measured";
  if (s.slots_total <= 0) return "ETA not known: no worker is live";
  const double slots = std::min(s.slots_total, s.counts.pending() + s.counts.running());
  std::string range;
  if (s.slot_seconds_left_high > s.slot_seconds_left_low) {
    range = absl::StrCat(" (", HumanDuration(s.slot_seconds_left_low / slots), " to ",
                         HumanDuration(s.slot_seconds_left_high / slots), ")");
  }
  return absl::StrCat("ETA ", HumanDuration(s.slot_seconds_left / slots), range);
}

std::string UsedText(const Screen& s) {
  const auto hours = [](double seconds) { return Significant(seconds / 3600, 2); };
  std::string text = absl::StrCat(hours(s.slot_seconds_used), " ", s.slot_word, "-hours used");
  if (IsOpen(s) && s.slot_seconds_left > 0) {
    absl::StrAppend(&text, ", ", hours(s.slot_seconds_left), " to go");
    if (s.slot_seconds_left_high > s.slot_seconds_left_low) {
      absl::StrAppend(&text, " (", hours(s.slot_seconds_left_low), " to ",
                      hours(s.slot_seconds_left_high), ")");
    }
  }
  return text;
}

}  // namespace

std::string RenderScreen(const Screen& s, const Style& style) {
  std::string out =
      absl::StrCat(style.Bold(s.sweep), "  ", s.state, "   ", CountsText(s.counts), "\n");
  const double share = s.done_share + s.running_share;
  absl::StrAppend(&out, RenderBar({s.done_share, s.running_share}, 32, style), " ",
                  static_cast<int>(100 * share + 1e-9), "% of tokens");
  if (IsOpen(s)) {
    absl::StrAppend(&out, "   slots ", s.slots_busy, " of ", s.slots_total, " busy");
    if (s.tokens_per_second > 0)
      absl::StrAppend(&out, "   ", HumanCount(s.tokens_per_second), " tokens/s");
  }
  absl::StrAppend(&out, "\n", UsedText(s));
  if (const std::string eta = EtaText(s); !eta.empty()) absl::StrAppend(&out, "   ", eta);
  out += "\n";
  for (size_t i = 0; i < s.pending_reasons.size() && i < 3; ++i) {
    absl::StrAppend(&out,
                    style.Dim(absl::StrCat(s.pending_reasons[i].second,
                                           " pending: ", OneLine(s.pending_reasons[i].first))),
                    "\n");
  }
  if (const std::string grid = RenderGrid(s.grid, style); !grid.empty()) {
    absl::StrAppend(&out, "\n", grid);
  }
  if (const std::string checks = RenderChecks(s.checks, style); !checks.empty()) {
    absl::StrAppend(&out, "\n", checks);
  }
  return out;
}

std::string RenderScreenLine(const Screen& s) {
  const std::string eta = EtaText(s);
  return absl::StrCat(s.sweep, " ", s.state, " ",
                      static_cast<int>(100 * (s.done_share + s.running_share) + 1e-9), "%  ",
                      CountsText(s.counts), eta.empty() ? "" : absl::StrCat("  ", eta));
}

}  // namespace loglog::cli
