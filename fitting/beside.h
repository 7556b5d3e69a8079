#ifndef LOGLOG_FITTING_BESIDE_H_
#define LOGLOG_FITTING_BESIDE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

// What is said of arms beside each other: the same of a sweep's trials and of a file's rows.
namespace loglog {

double TwoSidedP(double one_sided);

// Holm's adjustment over a family of planned contrasts, of two-sided p-values in the order
// given. One that is NaN (a contrast without an answer so far) counts as 1, because it will be
// tested too, and stays NaN.
std::vector<double> AdjustedOverFamily(absl::Span<const double> p_values);

// How many of an arm's trials ended with a loss and how many without one.
struct ArmEnds {
  std::string arm;
  int64_t done = 0;
  int64_t diverged = 0;
};
// For the notes of a fit of one arm, or of two that are compared: how often each diverged, with
// Fisher's exact test, and each arm of which fewer trials are left than are gone.
std::vector<std::string> DivergedNotes(absl::Span<const ArmEnds> arms);
// Whether a fit's note is one of those, which hang on trials that the fit does not list.
bool IsDivergedNote(absl::string_view note);

}  // namespace loglog

#endif  // LOGLOG_FITTING_BESIDE_H_
