#ifndef LOGLOG_FITTING_FITTER_H_
#define LOGLOG_FITTING_FITTER_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "fit/fit.h"
#include "nlohmann/json_fwd.hpp"
#include "plan/spec.h"
#include "plan/stop_rule.h"
#include "store/read_store.h"
#include "store/rows.h"

// From the trials of a sweep to fits as they are stored. Pure: the coordinator calls it in
// its compute pool, and `loglog fit verify` calls it again on the store.
namespace loglog {

// Of the intervals that are stored.
inline constexpr double kFitConfidence = 0.95;

// Which fit of which arms.
struct FitTarget {
  // "local_slope", "comparison", "isoflop" or the name of a law (fit/law_fit.h).
  std::string kind;
  Axis axis = Axis::kTokens;
  std::string arm;
  std::string arm_b;  // comparisons
};

// What a sweep's spec says about its fits.
struct FitPlan {
  std::map<std::string, std::string> axis_paths;  // "lr" -> "train.lr"
  // Axes that the arms are made of, or that vary a field which some arm sets.
  std::set<std::string> arm_axes;
  // The planned contrasts, each pair of arms once for each axis: p-values are adjusted
  // over all of them.
  std::vector<FitTarget> comparisons;
  std::set<std::string> arms;  // that the spec names
  // Kinds and axes of the fits that also say what the stopped trials do to them.
  std::set<std::pair<std::string, Axis>> censored;
  std::optional<StopRule> stop_rule;
};
// From the canonical JSON of a spec, as stores hold it. DATA_LOSS: it is none. Without
// `requests`, the spec's own `fit` as ParseSpec reads it, a spec that asks for censored fits
// is parsed whole, which takes as long as its grid is large.
absl::StatusOr<FitPlan> FitPlanOf(absl::string_view spec_json,
                                  const std::vector<FitRequest>* requests = nullptr);

// The trials of a sweep as its fits need them: what stopped trials reached is read where the
// plan asks for it.
absl::StatusOr<std::vector<ObservationRow>> ReadFitTrials(const ReadStore& store, int64_t sweep_id,
                                                          const FitPlan& plan);

// Axis and the two arms of a comparison, in the order of their names.
using ContrastKey = std::pair<Axis, std::pair<std::string, std::string>>;

// The arms of these trials, in order of their first trial.
std::vector<std::string> ArmsOf(absl::Span<const ObservationRow> trials);
// What a sweep without fit requests is about: D, unless only N differs.
Axis DefaultAxis(absl::Span<const ObservationRow> trials);

// Fits the DONE trials of one sweep; diverged, stopped and unfinished ones are counted in
// the results. Remembers comparisons, whose adjusted p-values hang on each other. Refers to
// the trials and the plan; confined to one thread at a time.
class Fitter {
 public:
  Fitter(absl::Span<const ObservationRow> trials, const FitPlan& plan,
         double confidence = kFitConfidence)
      : trials_(trials), plan_(plan), confidence_(confidence) {}

  // `sweep_id` and `create_ms` are the caller's to fill in. A fit that the data cannot
  // carry comes back with verdict REFUSED and its reason: too little data, trials that
  // saw different data, an arm that mixes values of an axis, an arm without trials.
  // INVALID_ARGUMENT: an unknown kind. NOT_FOUND: an arm that neither the spec nor the
  // trials name; says which there are.
  absl::StatusOr<FitRow> Compute(const FitTarget& target);

  // Losses of the target's law, of the trials that Compute fits it to. INVALID_ARGUMENT:
  // PredictLaw's, and a kind without a loss. NOT_FOUND: as Compute.
  absl::StatusOr<LawPredictions> Predict(const FitTarget& target, absl::Span<const Place> at);

  // Why the trials of these arms cannot stand side by side: they saw different data, an arm
  // mixes values of an axis or has no trials. Empty when they can.
  std::string WhyRefused(absl::Span<const std::string> arms);

  // SHA-256 over everything that Compute's answer depends on, this code's version
  // included: equal hashes mean an equal answer.
  std::string InputsSha256(const FitTarget& target);

 private:
  // Of one arm.
  struct ArmData {
    std::vector<Observation> observations;
    std::vector<const ObservationRow*> done;        // where they come from
    std::vector<CensoredTrial> censored;            // stopped ones whose loss was read
    std::vector<const ObservationRow*> stopped_at;  // where they come from
    int diverged = 0;
    int unfinished = 0;
    int stopped = 0;     // of those
    std::string sha256;  // of all its trials
  };
  // Holm's adjustment of one planned contrast.
  struct Adjusted {
    int planned = 0;  // 0: not a planned one
    int tested = 0;   // of those planned, with a p-value by now
    double p = kNoNumber;
  };

  const ArmData& DataOf(const std::string& arm);
  absl::Status CheckArm(const std::string& arm) const;
  FitResult Result(const FitTarget& target);
  std::string MixedAxis(const ArmData& data, absl::string_view arm) const;
  std::vector<std::string> OtherDifferences(const ArmData& a, const ArmData& b) const;
  const FitResult& Comparison(const FitTarget& target);
  Adjusted AdjustedP(const FitTarget& target);
  std::string FitJson(const FitTarget& target, const FitResult& result);
  bool IsCensored(const FitTarget& target) const;
  nlohmann::json CensoredJsonOf(const FitTarget& target, const FitResult& result);

  bool IsPlanned(const FitTarget& target) const;

  const absl::Span<const ObservationRow> trials_;
  const FitPlan& plan_;
  const double confidence_;
  std::map<std::string, ArmData> arms_;
  std::map<ContrastKey, FitResult> comparisons_;
};

}  // namespace loglog

#endif  // LOGLOG_FITTING_FITTER_H_
