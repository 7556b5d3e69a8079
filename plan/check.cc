#include "plan/check.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "plan/plan_checks.h"

namespace loglog {

std::vector<PlanWarning> CheckPlan(const SweepSpec& spec, const Expansion& expansion,
                                   const PlanContext& context) {
  std::vector<PlanWarning> warnings;
  CheckDesign(spec, expansion, context, &warnings);
  CheckCells(spec, context, &warnings);
  for (const DroppedTrials& drop : expansion.dropped) {
    if (drop.constraint == "duplicate") {
      warnings.push_back(
          {"DUPLICATE", absl::StrCat(drop.count, " trials of the grid are the same as others"),
           "some axis or arm changes nothing: see what `loglog explain` says of it"});
    }
    if (drop.count > 0) continue;
    const bool when = drop.constraint.rfind("when", 0) == 0;
    warnings.push_back({"CONSTRAINT",
                        drop.constraint + (when ? " holds everywhere" : " drops nothing"),
                        "check its values, or remove it"});
  }
  return warnings;
}

}  // namespace loglog
