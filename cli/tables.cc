#include "cli/tables.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/render/text.h"

namespace loglog::cli {
namespace {

template <typename Enum>
std::string Lower(Enum value, const std::string& (*name)(Enum)) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(name(value)), {{"_", " "}});
}

std::string TrialMessage(const v1::Trial& trial) {
  return trial.state() == v1::Trial::PENDING ? trial.pending_reason() : trial.message();
}

std::string MapJson(const google::protobuf::Map<std::string, std::string>& map) {
  const std::map<std::string, std::string> sorted(map.begin(), map.end());
  return absl::StrCat("{",
                      absl::StrJoin(sorted, ", ",
                                    [](std::string* out, const auto& entry) {
                                      absl::StrAppend(out, JsonString(entry.first), ": ",
                                                      JsonString(entry.second));
                                    }),
                      "}");
}

std::string MapText(const google::protobuf::Map<std::string, std::string>& map) {
  const std::map<std::string, std::string> sorted(map.begin(), map.end());
  return absl::StrJoin(sorted, ",", absl::PairFormatter("="));
}

std::string ParametersJson(const v1::Fit& fit) {
  std::vector<std::string> parts;
  for (const v1::Parameter& p : fit.parameters()) {
    parts.push_back(absl::StrCat(
        "{\"name\": ", JsonString(p.name()), ", \"estimate\": ", JsonNumber(p.estimate()),
        ", \"low\": ", JsonNumber(p.low()), ", \"high\": ", JsonNumber(p.high()), "}"));
  }
  return absl::StrCat("[", absl::StrJoin(parts, ", "), "]");
}

std::string PointsJson(const v1::Fit& fit) {
  std::vector<std::string> parts;
  for (const v1::FitPoint& p : fit.points()) {
    parts.push_back(
        absl::StrCat("{\"x\": ", JsonNumber(p.x()), ", \"mean_loss\": ", JsonNumber(p.mean_loss()),
                     ", \"sd_loss\": ", JsonNumber(p.sd_loss()), ", \"n\": ", p.n(), "}"));
  }
  return absl::StrCat("[", absl::StrJoin(parts, ", "), "]");
}

Cell Progress(const v1::Trial& trial) {
  const double share = trial.steps() > 0 ? static_cast<double>(trial.step()) / trial.steps() : NAN;
  Cell cell = Cell::Real(share, 3);
  cell.text = std::isfinite(share) ? absl::StrCat(static_cast<int>(share * 100), "%") : "-";
  return cell;
}

}  // namespace

std::string StateWord(v1::Sweep::State state) { return Lower(state, v1::Sweep::State_Name); }
std::string StateWord(v1::Trial::State state) { return Lower(state, v1::Trial::State_Name); }
std::string StateWord(v1::Worker::State state) { return Lower(state, v1::Worker::State_Name); }
std::string VerdictWord(v1::Fit::Verdict verdict) { return Lower(verdict, v1::Fit::Verdict_Name); }

v1::Trial::State TrialStateOf(absl::string_view word) {
  v1::Trial::State state = v1::Trial::STATE_UNSPECIFIED;
  v1::Trial::State_Parse(absl::AsciiStrToUpper(word), &state);
  return state;
}

std::string ShortName(absl::string_view resource) {
  const size_t slash = resource.rfind('/');
  return std::string(slash == absl::string_view::npos ? resource : resource.substr(slash + 1));
}

Table SweepTable(const std::vector<v1::Sweep>& sweeps) {
  Table table;
  table.kind = "sweeps";
  table.columns = {{"name"},
                   {"state"},
                   {"trials", true},
                   {"done", true},
                   {"running", true},
                   {"pending", true},
                   {"diverged", true},
                   {"failed", true},
                   {"cancelled", true, true},
                   {"stopped", true, true},
                   {"reused", true, true},
                   {"slots_busy", true, true},
                   {"tokens_per_second", true, true},
                   {"created", false, true},
                   {"ended", false, true},
                   {"slot_seconds_used", true, true, true},
                   {"slot_seconds_left", true, true, true},
                   {"slot_seconds_left_low", true, true, true},
                   {"slot_seconds_left_high", true, true, true},
                   {"spec_sha256", false, true, true}};
  for (const v1::Sweep& sweep : sweeps) {
    const v1::TrialCounts& n = sweep.counts();
    Cell name = Cell::Text(sweep.name());
    name.text = ShortName(sweep.name());
    table.rows.push_back({name,
                          Cell::Text(StateWord(sweep.state())),
                          Cell::Int(n.total()),
                          Cell::Int(n.done()),
                          Cell::Int(n.running()),
                          Cell::Int(n.pending()),
                          Cell::Int(n.diverged()),
                          Cell::Int(n.failed()),
                          Cell::Int(n.cancelled()),
                          Cell::Int(n.stopped()),
                          Cell::Int(n.reused()),
                          Cell::Int(sweep.slots_busy()),
                          Cell::Count(sweep.tokens_per_second()),
                          Cell::Time(sweep.create_time_ms()),
                          Cell::Time(sweep.end_time_ms()),
                          Cell::Real(sweep.slot_seconds_used(), 1),
                          Cell::Real(sweep.slot_seconds_left(), 1),
                          Cell::Real(sweep.slot_seconds_left_low(), 1),
                          Cell::Real(sweep.slot_seconds_left_high(), 1),
                          Cell::Text(sweep.spec_sha256())});
  }
  return table;
}

Table TrialTable(const std::vector<v1::Trial>& trials) {
  std::map<std::string, std::set<std::string>> axis_values;
  for (const v1::Trial& trial : trials) {
    for (const auto& [axis, value] : trial.axes()) axis_values[axis].insert(value);
  }
  std::vector<std::string> axes;
  for (const auto& [axis, values] : axis_values) {
    if (values.size() > 1 && axis != "seed") axes.push_back(axis);
  }
  Table table;
  table.kind = "trials";
  table.columns = {{"name"}, {"state"}, {"arm"}};
  const bool with_sweep =
      trials.size() > 1 && std::any_of(trials.begin(), trials.end(), [&](const v1::Trial& t) {
        return t.name().substr(0, t.name().rfind('/')) !=
               trials[0].name().substr(0, trials[0].name().rfind('/'));
      });
  for (const std::string& axis : axes) {
    table.columns.push_back({absl::StrCat("axes.", axis), true, true, true});
  }
  const std::vector<Column> fixed = {{"seed", true},
                                     {"tokens_planned", true},
                                     {"progress", true},
                                     {"final_loss", true},
                                     {"last_loss", true, true},
                                     {"step", true, true, true},
                                     {"steps", true, true},
                                     {"tokens", true, true, true},
                                     {"params_total", true, true},
                                     {"params_non_embedding", true, true, true},
                                     {"flops", true, true},
                                     {"worker", false, true},
                                     {"attempts", true, true},
                                     {"failure_count", true, true},
                                     {"lost_count", true, true},
                                     {"attempt_id", true, true, true},
                                     {"diverged_step", true, true, true},
                                     {"tokens_per_second", true, true},
                                     {"started", false, true, true},
                                     {"ended", false, true, true},
                                     {"axes", false, true, true},
                                     {"trainer_version", false, true, true},
                                     {"data_sha256", false, true, true},
                                     {"cell_sha256", false, true, true},
                                     {"trial_sha256", false, true, true},
                                     {"message"}};
  table.columns.insert(table.columns.end(), fixed.begin(), fixed.end());
  for (const v1::Trial& t : trials) {
    Cell name = Cell::Text(t.name());
    name.text = with_sweep ? t.name().substr(7) : ShortName(t.name());
    std::vector<Cell> row = {name, Cell::Text(StateWord(t.state())), Cell::Text(t.arm())};
    for (const std::string& axis : axes) {
      const auto it = t.axes().find(axis);
      row.push_back(it == t.axes().end() ? Cell::None() : Cell::Text(it->second));
    }
    Cell message = Cell::Text(TrialMessage(t));
    message.text = TrialMessage(t);
    const std::vector<Cell> rest = {
        Cell::Int(t.seed()),
        Cell::Count(static_cast<double>(t.tokens_planned())),
        Progress(t),
        Cell::Real(t.state() == v1::Trial::DONE ? t.final_loss() : NAN, 4),
        Cell::Real(t.last_loss(), 4),
        Cell::Int(t.step()),
        Cell::Int(t.steps()),
        Cell::Int(t.tokens()),
        Cell::Count(static_cast<double>(t.params_total())),
        Cell::Count(static_cast<double>(t.params_non_embedding())),
        Cell::Count(t.flops()),
        Cell::Text(ShortName(t.worker())),
        Cell::Int(t.attempts()),
        Cell::Int(t.failure_count()),
        Cell::Int(t.lost_count()),
        Cell::Int(t.attempt_id()),
        t.state() == v1::Trial::DIVERGED ? Cell::Int(t.diverged_step()) : Cell::None(),
        Cell::Count(t.tokens_per_second()),
        Cell::Time(t.start_time_ms()),
        Cell::Time(t.end_time_ms()),
        Cell::Json(MapText(t.axes()), MapJson(t.axes())),
        Cell::Text(t.trainer_version()),
        Cell::Text(t.data_sha256()),
        Cell::Text(t.cell_sha256()),
        Cell::Text(t.trial_sha256()),
        message};
    row.insert(row.end(), rest.begin(), rest.end());
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table WorkerTable(const std::vector<v1::Worker>& workers, int64_t now_ms) {
  Table table;
  table.kind = "workers";
  table.columns = {{"name"},
                   {"state"},
                   {"slots", true},
                   {"slots_busy", true},
                   {"device"},
                   {"last_sync"},
                   {"version", false, true},
                   {"labels", false, true},
                   {"registered", false, true},
                   {"reason"}};
  for (const v1::Worker& worker : workers) {
    Cell name = Cell::Text(worker.name());
    name.text = ShortName(worker.name());
    Cell seen = Cell::Time(worker.last_sync_time_ms());
    if (worker.last_sync_time_ms() != 0 && now_ms != 0) {
      seen.text = absl::StrCat(
          HumanDuration(std::max<double>(0, (now_ms - worker.last_sync_time_ms()) / 1000.0)),
          " ago");
    }
    Cell reason = Cell::Text(worker.reason());
    reason.text = worker.reason();
    table.rows.push_back({name, Cell::Text(StateWord(worker.state())), Cell::Int(worker.slots()),
                          Cell::Int(worker.slots_busy()), Cell::Text(worker.device()), seen,
                          Cell::Text(worker.version()),
                          Cell::Json(MapText(worker.labels()), MapJson(worker.labels())),
                          Cell::Time(worker.register_time_ms()), reason});
  }
  return table;
}

Table TokenTable(const std::vector<v1::Token>& tokens, const std::string& token) {
  Table table;
  table.kind = "tokens";
  table.columns = {{"name"},    {"caller"},  {"role"},         {"worker"}, {"created", false, true},
                   {"expires"}, {"revoked"}, {"last_used_day"}};
  if (!token.empty()) table.columns.push_back({"token"});
  for (const v1::Token& one : tokens) {
    Cell name = Cell::Text(one.name());
    name.text = ShortName(one.name());
    Cell day = Cell::Time(one.last_use_time_ms());
    day.text = day.text.substr(0, 10);  // the date
    table.rows.push_back({name, Cell::Text(one.caller()),
                          Cell::Text(absl::AsciiStrToLower(v1::Role_Name(one.role()))),
                          Cell::Text(one.worker()), Cell::Time(one.create_time_ms()),
                          Cell::Time(one.expire_time_ms()), Cell::Time(one.revoke_time_ms()), day});
    if (!token.empty()) table.rows.back().push_back(Cell::Text(token));
  }
  return table;
}

Table FitTable(const std::vector<v1::Fit>& fits) {
  Table table;
  table.kind = "fits";
  table.columns = {{"name", false, true},
                   {"kind"},
                   {"axis"},
                   {"arm"},
                   {"arm_b"},
                   {"parameter"},
                   {"estimate", true},
                   {"low", true},
                   {"high", true},
                   {"verdict"},
                   {"n_trials", true},
                   {"n_configs", true, true},
                   {"n_pairs", true, true},
                   {"n_diverged", true, true},
                   {"n_unfinished", true, true},
                   {"x_min", true, true},
                   {"x_max", true, true},
                   {"p_value", true, true},
                   {"leave_largest_out_error", true, true},
                   {"definition", false, true, true},
                   {"form", false, true, true},
                   {"message", false, true, true},
                   {"parameters", false, true, true},
                   {"points", false, true, true},
                   {"inputs_sha256", false, true, true},
                   {"created", false, true, true},
                   {"provenance", false, true, true}};
  for (const v1::Fit& fit : fits) {
    const v1::Parameter head = fit.parameters().empty() ? v1::Parameter() : fit.parameters(0);
    const bool has = !fit.parameters().empty();
    const auto real = [&](double value) {
      Cell cell = has ? Cell::Real(value, 4) : Cell::None();
      if (has) cell.text = Significant(value, 4);
      return cell;
    };
    const bool comparison = fit.kind() == "comparison";
    Cell p_value = comparison ? Cell::Real(fit.p_value(), 4) : Cell::None();
    if (comparison) p_value.text = PValue(fit.p_value(), 4);
    table.rows.push_back({Cell::Text(fit.name()),
                          Cell::Text(fit.kind()),
                          Cell::Text(fit.axis()),
                          Cell::Text(fit.arm()),
                          Cell::Text(fit.arm_b()),
                          Cell::Text(head.name()),
                          real(head.estimate()),
                          real(head.low()),
                          real(head.high()),
                          Cell::Text(VerdictWord(fit.verdict())),
                          Cell::Int(fit.n_trials()),
                          Cell::Int(fit.n_configs()),
                          comparison ? Cell::Int(fit.n_pairs()) : Cell::None(),
                          Cell::Int(fit.n_diverged()),
                          Cell::Int(fit.n_unfinished()),
                          Cell::Count(fit.x_min()),
                          Cell::Count(fit.x_max()),
                          p_value,
                          Cell::Real(fit.leave_largest_out_error(), 4),
                          Cell::Text(fit.definition()),
                          Cell::Text(fit.form()),
                          Cell::Text(fit.message()),
                          Cell::Json("", ParametersJson(fit)),
                          Cell::Json("", PointsJson(fit)),
                          Cell::Text(fit.inputs_sha256()),
                          Cell::Time(fit.create_time_ms()),
                          Cell::Json("", fit.provenance_json())});
  }
  return table;
}

Table EventTable(const std::vector<v1::Event>& events) {
  Table table;
  table.kind = "events";
  table.columns = {{"event_id", true},
                   {"time"},
                   {"kind"},
                   {"trial"},
                   {"attempt_id", true},
                   {"worker"},
                   {"sweep", false, true, true},
                   {"detail"}};
  for (const v1::Event& event : events) {
    table.rows.push_back({Cell::Int(event.event_id()), Cell::Time(event.time_ms()),
                          Cell::Text(event.kind()), Cell::Text(ShortName(event.trial())),
                          event.attempt_id() == 0 ? Cell::None() : Cell::Int(event.attempt_id()),
                          Cell::Text(ShortName(event.worker())), Cell::Text(event.sweep()),
                          Cell::Json(event.detail_json(), event.detail_json())});
  }
  return table;
}

Table SeriesTable(const std::vector<v1::Series>& series) {
  Table table;
  table.kind = "points";
  table.columns = {{"trial"}, {"metric"}, {"step", true}, {"tokens", true}, {"value", true}};
  for (const v1::Series& s : series) {
    Cell trial = Cell::Text(s.trial());
    trial.text = ShortName(s.trial());
    for (const v1::Point& point : s.points()) {
      Cell value = Cell::Real(point.value(), 6);
      if (!std::isfinite(point.value())) value.text = "not finite";
      table.rows.push_back({trial, Cell::Text(s.metric()), Cell::Int(point.step()),
                            Cell::Int(point.tokens()), value});
    }
  }
  return table;
}

}  // namespace loglog::cli
