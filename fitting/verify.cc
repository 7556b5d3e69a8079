#include "fitting/verify.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "fitting/beside.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using nlohmann::json;

// What hangs on trials that a fit does not list: those left out, and the other contrasts.
constexpr const char* kOfOthers[] = {"n_diverged", "n_unfinished", "n_stopped"};

json WithoutOthers(json fit) {
  for (const char* key : kOfOthers) fit.erase(key);
  json& provenance = fit["provenance"];
  provenance.erase("holm");
  json& notes = provenance["notes"];
  if (notes.is_array()) {
    notes.erase(std::remove_if(notes.begin(), notes.end(),
                               [](const json& note) {
                                 return note.is_string() && IsDivergedNote(note.get<std::string>());
                               }),
                notes.end());
  }
  return fit;
}

// The row's own columns beside the JSON, which hold the headline.
json RowJson(const FitRow& row) {
  return {{"verdict", row.verdict},
          {"definition", row.definition},
          {"parameter", row.parameter},
          {"message", row.message},
          {"n_trials", row.n_trials}};
}

std::string ValueAt(const json& document, const std::string& pointer) {
  const json::json_pointer at(pointer);
  return document.contains(at) ? document.at(at).dump() : "nothing";
}

// Numbers are compared by their shortest texts that read back as the same number.
void Compare(const json& stored, const json& now, std::vector<std::string>* differences) {
  for (const json& step : json::diff(stored, now)) {
    const std::string path = step.at("path").get<std::string>();
    // What is added to the end of a list has no place of its own yet.
    const std::string after = step.at("op") == "add" ? step.at("value").dump() : ValueAt(now, path);
    differences->push_back(absl::StrCat(absl::StripPrefix(path, "/"), ": stored ",
                                        ValueAt(stored, path), ", now ", after));
  }
}

std::set<std::string> CensoredTrialsOf(const json& fit) {
  std::set<std::string> listed;
  const json& provenance = fit.at("provenance");
  if (!provenance.contains("censored")) return listed;
  for (const json& trial : provenance["censored"].at("trials")) {
    listed.insert(trial.at("trial_sha256").get<std::string>());
  }
  return listed;
}

// Of the DONE trials, those that the fit lists; what became of the others stays, but that the
// fit takes no stopped trial that it does not list.
std::vector<ObservationRow> TrialsOfFit(const json& fit, absl::Span<const ObservationRow> trials,
                                        std::vector<std::string>* differences) {
  const std::set<std::string> censored = CensoredTrialsOf(fit);
  std::map<std::string, const json*> by_sha256;
  for (const json& trial : fit.at("trials"))
    by_sha256[trial.at("trial_sha256").get<std::string>()] = &trial;
  std::vector<ObservationRow> own;
  for (const ObservationRow& trial : trials) {
    if (trial.state != TrialState::kDone) {
      own.push_back(trial);
      if (!censored.contains(trial.trial_sha256)) own.back().stopped_loss = kNoNumber;
      continue;
    }
    const auto known = by_sha256.find(trial.trial_sha256);
    if (known == by_sha256.end()) continue;
    own.push_back(trial);
    by_sha256.erase(known);
  }
  for (const auto& [sha256, trial] : by_sha256) {
    differences->push_back(absl::StrCat("trials: the fit lists trial ", sha256.substr(0, 12),
                                        ".., which is no longer done in this sweep"));
  }
  return own;
}

}  // namespace

const char* OutcomeWord(FitCheck::Outcome outcome) {
  switch (outcome) {
    case FitCheck::Outcome::kSame:
      return "same";
    case FitCheck::Outcome::kDiffers:
      return "differs";
    case FitCheck::Outcome::kOtherCode:
      return "other code";
  }
  return "?";
}

absl::StatusOr<FitCheck> VerifyFit(const FitRow& stored, absl::Span<const ObservationRow> trials,
                                   const FitPlan& plan) try {
  FitTarget target = {stored.kind, Axis::kTokens, stored.arm, stored.arm_b};
  LOGLOG_ASSIGN_OR_RETURN(target.axis, ParseAxis(stored.axis));
  json before = json::parse(stored.fit_json);
  FitCheck check;
  Fitter whole(trials, plan);
  check.moved_on = whole.InputsSha256(target) != stored.inputs_sha256;
  std::vector<ObservationRow> own;
  if (check.moved_on) own = TrialsOfFit(before, trials, &check.differences);
  Fitter of_fit(own, plan);
  LOGLOG_ASSIGN_OR_RETURN(const FitRow now, (check.moved_on ? of_fit : whole).Compute(target));
  json after = json::parse(now.fit_json);
  if (check.moved_on) {
    before = WithoutOthers(std::move(before));
    after = WithoutOthers(std::move(after));
  }
  Compare(RowJson(stored), RowJson(now), &check.differences);
  Compare(before, after, &check.differences);
  const bool same_code = before.at("provenance").value("version", "") == kFitVersion;
  check.outcome = check.differences.empty() ? FitCheck::Outcome::kSame
                  : same_code               ? FitCheck::Outcome::kDiffers
                                            : FitCheck::Outcome::kOtherCode;
  return check;
} catch (const json::exception& error) {
  return absl::DataLossError(absl::StrCat("fit ", stored.number, " (", stored.kind, " of ",
                                          stored.arm, ") cannot be read: ", error.what()));
}

}  // namespace loglog
