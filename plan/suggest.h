#ifndef LOGLOG_PLAN_SUGGEST_H_
#define LOGLOG_PLAN_SUGGEST_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace loglog {

// Insertions, deletions, substitutions and swaps of neighbours that turn one word into
// the other, letter case ignored.
int EditDistance(absl::string_view a, absl::string_view b);

// The choice that `word` was probably meant to be; empty when none is near.
std::string NearestWord(absl::string_view word, const std::vector<std::string>& choices);

// "did you mean `x`?" for the nearest choice, or "" when none is near.
std::string DidYouMean(absl::string_view word, const std::vector<std::string>& choices);

}  // namespace loglog

#endif  // LOGLOG_PLAN_SUGGEST_H_
