#include "fitting/beside.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "fit/contrasts.h"

namespace loglog {
namespace {

constexpr char kHowMany[] = "diverged: ";
constexpr char kMost[] = "more than half of ";

}  // namespace

double TwoSidedP(double one_sided) { return 2 * std::min(one_sided, 1 - one_sided); }

std::vector<double> AdjustedOverFamily(absl::Span<const double> p_values) {
  std::vector<double> family(p_values.begin(), p_values.end());
  for (double& p : family) p = std::isnan(p) ? 1 : p;
  std::vector<double> adjusted = HolmAdjusted(family);
  for (size_t i = 0; i < adjusted.size(); ++i) {
    if (std::isnan(p_values[i])) adjusted[i] = p_values[i];
  }
  return adjusted;
}

std::vector<std::string> DivergedNotes(absl::Span<const ArmEnds> arms) {
  std::vector<std::string> notes;
  if (arms.size() == 2 && arms[0].diverged + arms[1].diverged > 0) {
    const ArmEnds& a = arms[0];
    const ArmEnds& b = arms[1];
    const int64_t ended_a = a.done + a.diverged, ended_b = b.done + b.diverged;
    notes.push_back(absl::StrCat(
        kHowMany, a.diverged, " of ", ended_a, " against ", b.diverged, " of ", ended_b,
        " (left out of the fit; Fisher's exact p ",
        absl::StrFormat("%.2g", FisherExactP(a.diverged, ended_a, b.diverged, ended_b)), ")"));
  }
  for (const ArmEnds& arm : arms) {
    if (arm.diverged <= arm.done) continue;
    notes.push_back(
        absl::StrCat(kMost, arm.arm.empty() ? "the trials" : absl::StrCat("arm ", arm.arm),
                     " diverged (", arm.diverged, " of ", arm.done + arm.diverged,
                     "): the fit is of those that did not, which need not be like the others"));
  }
  return notes;
}

bool IsDivergedNote(absl::string_view note) {
  return absl::StartsWith(note, kHowMany) || absl::StartsWith(note, kMost);
}

}  // namespace loglog
