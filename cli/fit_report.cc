#include "cli/fit_report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/predicted_losses.h"
#include "cli/render/text.h"
#include "cli/tables.h"
#include "fitting/beside.h"
#include "nlohmann/json.hpp"

namespace loglog::cli {
namespace {

constexpr int kDigits = 4;

std::string KindTitle(const v1::Fit& fit) {
  if (fit.kind() == "local_slope") return absl::StrCat("local slope in ", fit.axis());
  if (fit.kind() == "saturating") return absl::StrCat("exponent with a floor, in ", fit.axis());
  if (fit.kind() == "joint") return "joint law in N and D";
  if (fit.kind() == "isoflop") return "compute-optimal sizes (IsoFLOP parabolas)";
  if (fit.kind() == "equal_exponent" || fit.kind() == "kaplan" || fit.kind() == "data_constrained")
    return absl::StrCat(absl::StrReplaceAll(fit.kind(), {{"_", " "}}), " law in N and D");
  if (fit.kind() == "comparison") return absl::StrCat("comparison of arms, in ", fit.axis());
  return absl::StrCat(absl::StrReplaceAll(fit.kind(), {{"_", " "}}), " in ", fit.axis());
}

// Names of arms come from specs and files, and may hold what steers a terminal.
std::string Arm(const v1::Fit& fit) { return OneLine(fit.arm()); }
std::string ArmB(const v1::Fit& fit) { return OneLine(fit.arm_b()); }

std::string Subject(const v1::Fit& fit) {
  const std::string arm = fit.arm().empty() ? "all trials" : Arm(fit);
  return fit.arm_b().empty() ? arm : absl::StrCat(arm, " against ", ArmB(fit));
}

std::string IntervalText(const v1::Parameter& p, const std::string& confidence) {
  if (std::isnan(p.low()) && std::isnan(p.high())) return "no interval";
  return absl::StrCat(confidence, " ", Interval(p.low(), p.high(), kDigits));
}

// What the parameter means for someone who has not read the form.
std::string Meaning(const v1::Fit& fit, const v1::Parameter& p) {
  const std::string what = fit.axis() == "N"   ? "parameters"
                           : fit.axis() == "C" ? "FLOPs"
                                               : "tokens";
  if (p.name() == "E") return "floor of the loss";
  if (p.name() == "elasticity") return absl::StrCat("local slope at the largest ", fit.axis());
  if (p.name() == "efficiency_ratio") {
    return absl::StrCat("times ", ArmB(fit), "'s ", what, " for the same loss, mid-range");
  }
  if (p.name() == "efficiency_ratio_at_max")
    return absl::StrCat("the same at the largest ", fit.axis());
  if (p.name() == "quadratic") return "curvature of the difference";
  if (p.name() == "slope_1") return absl::StrCat("of ", Arm(fit));
  if (p.name() == "slope_2") return absl::StrCat("of ", ArmB(fit));
  return "";
}

std::string Verdict(const v1::Fit& fit, const Style& style) {
  const std::string word = VerdictWord(fit.verdict());
  switch (fit.verdict()) {
    case v1::Fit::OK:
    case v1::Fit::IDENTIFIED:
      return style.Green(word);
    case v1::Fit::NOT_IDENTIFIED:
      return style.Yellow(word);
    default:
      return style.Red(word);
  }
}

std::string Conclusion(const v1::Fit& fit) {
  const v1::Parameter* difference = FindParameter(fit, "slope_difference");
  if (difference == nullptr || std::isnan(difference->low())) return "";
  // The stored p is that of "the arm is no steeper than arm_b".
  const double p = fit.p_value();
  if (difference->high() < 0) {
    return absl::StrCat(Arm(fit), " is steeper than ", ArmB(fit), "; one-sided ", PEquals(p, 2));
  }
  if (difference->low() > 0) {
    return absl::StrCat(ArmB(fit), " is steeper than ", Arm(fit), "; one-sided ",
                        PEquals(1 - p, 2));
  }
  return absl::StrCat("neither arm is shown to be steeper; two-sided ", PEquals(TwoSidedP(p), 2),
                      " for equal slopes");
}

// Configurations may share a value of the axis: two sizes at one token budget, say.
std::string ConfigsText(const v1::Fit& fit) {
  std::set<double> values;
  for (const v1::FitPoint& point : fit.points()) values.insert(point.x());
  const int distinct = values.empty() ? fit.n_configs() : static_cast<int>(values.size());
  const std::string text = absl::StrCat(Plural(distinct, "value"), " of ", fit.axis());
  return distinct == fit.n_configs()
             ? text
             : absl::StrCat(Plural(fit.n_configs(), "configuration"), ", ", text);
}

std::string LeftOut(const v1::Fit& fit, const std::map<std::string, LostTrials>& lost) {
  LostTrials sum;
  for (const std::string& arm : {fit.arm(), fit.arm_b()}) {
    if (const auto it = lost.find(arm); it != lost.end()) sum += it->second;
  }
  // As the fit counted: a trial may have ended since.
  sum.diverged = fit.n_diverged();
  sum.unfinished = std::max(0, fit.n_unfinished() - sum.failed - sum.cancelled - sum.stopped);
  return absl::StrCat("; ", LeftOutText(sum));
}

std::string WentIn(const v1::Fit& fit, const std::map<std::string, LostTrials>& lost) {
  std::string text = absl::StrCat(Plural(fit.n_trials(), "trial"));
  if (fit.kind() == "comparison") absl::StrAppend(&text, " in ", Plural(fit.n_pairs(), "pair"));
  absl::StrAppend(&text, ", ", ConfigsText(fit));
  if (fit.x_max() > 0) {
    absl::StrAppend(&text, " from ", HumanCount(fit.x_min()), " to ", HumanCount(fit.x_max()));
  }
  return absl::StrCat(text, LeftOut(fit, lost));
}

// `text` broken into indented lines.
void AppendWrapped(absl::string_view text, const Style& style, std::string* out) {
  for (const std::string& line : Wrap(Printable(text), std::max(40, style.columns - 6))) {
    absl::StrAppend(out, "    ", line, "\n");
  }
}

// One of several planned comparisons is likelier to be found different by chance alone.
std::string AdjustedText(const nlohmann::json& provenance) {
  const auto holm = provenance.find("holm");
  if (holm == provenance.end() || !holm->is_object()) return "";
  const auto number = [&](const char* key) {
    const auto it = holm->find(key);
    return it != holm->end() && it->is_number() ? it->get<double>() : NAN;
  };
  if (!(number("m") > 1) || std::isnan(number("p_adjusted"))) return "";
  return absl::StrCat("two-sided ", PEquals(number("p_adjusted"), 2), " as one of ",
                      Significant(number("m"), 4), " comparisons (Holm)");
}

}  // namespace

std::string CensoredText(const nlohmann::json& provenance) {
  const auto censored = provenance.find("censored");
  if (censored == provenance.end() || !censored->is_object()) return "";
  const std::string trials = Plural(censored->value("n", 0), "censored trial");
  if (censored->contains("why_not")) {
    return absl::StrCat(trials, ", not used: ", censored->value("why_not", ""));
  }
  const auto number = [](const nlohmann::json& value) {
    return value.is_number() ? Significant(value.get<double>(), kDigits) : std::string("-");
  };
  std::vector<std::string> with, without;
  for (const auto& [name, pair] : censored->at("parameters").items()) {
    // Fits stored before there were intervals have none.
    const bool interval = pair.contains("low") && pair.at("low").is_number();
    with.push_back(absl::StrCat(
        name, " ", number(pair.at("with")),
        interval ? absl::StrCat(" [", number(pair.at("low")), ", ", number(pair.at("high")), "]")
                 : ""));
    without.push_back(absl::StrCat(name, " ", number(pair.at("without"))));
  }
  return absl::StrCat("with ", trials, " by maximum likelihood: ", absl::StrJoin(with, ", "),
                      "; without: ", absl::StrJoin(without, ", "),
                      censored->value("converged", false) ? "" : " (did not converge)");
}

namespace {

void AppendProvenance(const v1::Fit& fit, bool detailed, const Style& style, std::string* out) {
  const nlohmann::json provenance = nlohmann::json::parse(fit.provenance_json(), nullptr, false);
  if (!provenance.is_object()) return;
  if (const std::string adjusted = AdjustedText(provenance); !adjusted.empty()) {
    AppendWrapped(adjusted, style, out);
  }
  if (const std::string censored = CensoredText(provenance); !censored.empty()) {
    AppendWrapped(censored, style, out);
  }
  if (const auto notes = provenance.find("notes"); notes != provenance.end() && notes->is_array()) {
    for (const auto& note : *notes) {
      if (note.is_string())
        AppendWrapped(absl::StrCat("note: ", note.get<std::string>()), style, out);
    }
  }
  if (!detailed) return;
  if (const auto triples = provenance.find("triples");
      triples != provenance.end() && triples->is_object()) {
    for (const auto& [name, triple] : triples->items()) {
      std::vector<std::string> parts;
      for (const auto& [objective, value] : triple.items()) {
        parts.push_back(absl::StrCat(
            objective, " ",
            value.is_number() ? Significant(value.get<double>(), 5) : std::string("-")));
      }
      absl::StrAppend(out, "    ", name, " by objective: ", absl::StrJoin(parts, ", "), "\n");
    }
  }
  for (const char* key : {"version", "objective", "interval_method", "optimizer_status"}) {
    const auto it = provenance.find(key);
    if (it == provenance.end() || !it->is_string() || it->get<std::string>().empty()) continue;
    absl::StrAppend(out, "    ", absl::StrReplaceAll(key, {{"_", " "}}), ": ",
                    OneLine(it->get<std::string>()), "\n");
  }
  if (fit.name().empty()) return;  // of a file's points: nothing is stored
  absl::StrAppend(out, "    stored as ", fit.name(), ", inputs ", fit.inputs_sha256().substr(0, 16),
                  "\n");
}

void AppendFit(const v1::Fit& fit, const LawPredictions& predictions,
               const FitReportOptions& options, const Style& style, std::string* out) {
  const std::string confidence = ConfidenceText(fit);
  absl::StrAppend(out, "  ", style.Bold(Subject(fit)), "  ", Verdict(fit, style), "\n");
  size_t name_width = 0;
  size_t estimate_width = 0;
  for (const v1::Parameter& p : fit.parameters()) {
    name_width = std::max(name_width, p.name().size());
    estimate_width = std::max(estimate_width, Significant(p.estimate(), kDigits).size());
  }
  for (const v1::Parameter& p : fit.parameters()) {
    std::string line = absl::StrCat(
        "    ", PadRight(absl::StrReplaceAll(p.name(), {{"_", " "}}), static_cast<int>(name_width)),
        "  ", PadLeft(Significant(p.estimate(), kDigits), static_cast<int>(estimate_width)), "  ",
        IntervalText(p, confidence));
    if (const std::string meaning = Meaning(fit, p); !meaning.empty()) {
      line = absl::StrCat(PadRight(line, static_cast<int>(name_width + estimate_width) + 32), "  ",
                          style.Dim(meaning));
    }
    absl::StrAppend(out, line, "\n");
  }
  for (const std::string& line : PredictionLines(fit, predictions)) {
    AppendWrapped(line, style, out);
  }
  if (const std::string conclusion = Conclusion(fit); !conclusion.empty()) {
    absl::StrAppend(out, "    ", style.Bold(conclusion), "\n");
  }
  const bool good = fit.verdict() == v1::Fit::OK || fit.verdict() == v1::Fit::IDENTIFIED;
  if (!good && !fit.message().empty()) AppendWrapped(fit.message(), style, out);
  AppendWrapped(WentIn(fit, options.lost), style, out);
  if (std::isfinite(fit.leave_largest_out_error())) {
    absl::StrAppend(out, "    largest ", fit.axis(),
                    " left out and predicted: ", fit.leave_largest_out_error() > 0 ? "+" : "",
                    Significant(100 * fit.leave_largest_out_error(), 2), "%\n");
  }
  AppendProvenance(fit, options.detailed, style, out);
}

}  // namespace

LostTrials& LostTrials::operator+=(const LostTrials& other) {
  diverged += other.diverged;
  failed += other.failed;
  cancelled += other.cancelled;
  stopped += other.stopped;
  unfinished += other.unfinished;
  return *this;
}

std::map<std::string, LostTrials> LostByArm(const std::vector<v1::Trial>& trials) {
  std::map<std::string, LostTrials> lost;
  for (const v1::Trial& trial : trials) {
    LostTrials& arm = lost[trial.arm()];
    arm.diverged += trial.state() == v1::Trial::DIVERGED;
    arm.failed += trial.state() == v1::Trial::FAILED;
    arm.cancelled += trial.state() == v1::Trial::CANCELLED;
    arm.stopped += trial.state() == v1::Trial::STOPPED;
    arm.unfinished += trial.state() == v1::Trial::PENDING || trial.state() == v1::Trial::RUNNING;
  }
  return lost;
}

LostTrials LostOf(const std::vector<v1::Trial>& trials, const std::vector<std::string>& arms) {
  std::map<std::string, LostTrials> lost = LostByArm(trials);
  LostTrials sum;
  for (const std::string& arm : arms) sum += lost[arm];
  return sum;
}

std::string LeftOutText(const LostTrials& lost) {
  std::string text = absl::StrCat("left out: ", lost.diverged, " diverged");
  if (lost.failed > 0) absl::StrAppend(&text, ", ", lost.failed, " failed");
  if (lost.cancelled > 0) absl::StrAppend(&text, ", ", lost.cancelled, " cancelled");
  if (lost.stopped > 0) absl::StrAppend(&text, ", ", lost.stopped, " stopped early");
  return absl::StrCat(text, ", ", lost.unfinished, " unfinished");
}

const v1::Parameter* FindParameter(const v1::Fit& fit, absl::string_view name) {
  for (const v1::Parameter& p : fit.parameters()) {
    if (p.name() == name) return &p;
  }
  return nullptr;
}

std::string HeadlineOf(const v1::Fit& fit) {
  if (fit.parameters().empty())
    return absl::StrCat(VerdictWord(fit.verdict()), ": ", fit.message());
  const v1::Parameter& p = fit.parameters(0);
  const std::string interval = std::isnan(p.low()) && std::isnan(p.high())
                                   ? "(no interval)"
                                   : Interval(p.low(), p.high(), kDigits);
  return absl::StrCat(Significant(p.estimate(), kDigits), " ", interval);
}

std::string RenderFloors(const std::vector<v1::Fit>& fits, const TrueFloor& truth,
                         const Style& style) {
  const bool sampled = std::isfinite(truth.val_floor);
  const double floor = sampled ? truth.val_floor : truth.entropy_rate;
  if (!std::isfinite(floor)) return "";
  std::vector<std::string> truths;
  if (std::isfinite(truth.entropy_rate)) {
    truths.push_back(absl::StrCat("the source's entropy rate is ", Fixed(truth.entropy_rate, 4),
                                  " nats a token"));
  }
  if (sampled) truths.push_back(absl::StrCat(Fixed(floor, 4), " on the validation sample"));
  std::string out = absl::StrCat(style.Bold("The floor E beside the truth"), "   ",
                                 absl::StrJoin(truths, "; "), "\n");
  for (const v1::Fit& fit : fits) {
    if (fit.kind() != "saturating") continue;
    const v1::Parameter* e = FindParameter(fit, "E");
    if (e == nullptr || std::isnan(e->low()) || std::isnan(e->high())) {
      absl::StrAppend(&out, "  ", Arm(fit), ": no interval of E\n");
      continue;
    }
    const char* where = ", which holds the truth";
    if (floor < e->low()) {
      where = ", above the truth: the arm stays short of it, or the form does not hold";
    } else if (floor > e->high()) {
      where = ", below the truth: the form does not hold beyond these data";
    }
    absl::StrAppend(&out, "  ", Arm(fit), ": E = ", Significant(e->estimate(), 4), " ",
                    Interval(e->low(), e->high(), 4), where, "\n");
  }
  return out;
}

std::string RenderFitReport(const std::vector<v1::Fit>& fits, const FitReportOptions& options,
                            const Style& style) {
  std::string out;
  std::string title;
  std::string definition;
  const LawPredictions none;
  for (size_t i = 0; i < fits.size(); ++i) {
    const v1::Fit& fit = fits[i];
    if (KindTitle(fit) != title) {
      title = KindTitle(fit);
      definition.clear();
      absl::StrAppend(&out, out.empty() ? "" : "\n",
                      style.Bold(absl::AsciiStrToUpper(title.substr(0, 1))),
                      style.Bold(title.substr(1)),
                      fit.form().empty() ? "" : absl::StrCat("   ", fit.form()), "\n");
    }
    if (fit.definition() != definition) {
      definition = fit.definition();
      for (const std::string& line : Wrap(Printable(definition), std::max(40, style.columns - 4))) {
        absl::StrAppend(&out, "  ", style.Dim(line), "\n");
      }
    }
    AppendFit(fit, i < options.predictions.size() ? options.predictions[i] : none, options, style,
              &out);
  }
  return out;
}

}  // namespace loglog::cli
