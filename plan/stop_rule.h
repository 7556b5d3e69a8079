#ifndef LOGLOG_PLAN_STOP_RULE_H_
#define LOGLOG_PLAN_STOP_RULE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog {

// What FitRequest::kind of a stop rule is; its text is FitRequest::form.
inline constexpr char kStopRuleKind[] = "stop_rule";

// "halfwidth(slope) < 0.003": a sweep is over when half the width of an interval, of every
// arm or of every planned comparison, is below a number.
struct StopRule {
  std::string quantity;  // "slope", "beta" or "slope_difference"
  double below = 0;
};

// INVALID_ARGUMENT: what is wrong with it; `suggestion` gets what to write instead.
absl::StatusOr<StopRule> ParseStopRule(absl::string_view text, std::string* suggestion = nullptr);

// Its one spelling.
std::string StopRuleText(const StopRule& rule);

}  // namespace loglog

#endif  // LOGLOG_PLAN_STOP_RULE_H_
