#include "plan/suggest.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace loglog {

int EditDistance(absl::string_view a, absl::string_view b) {
  const size_t width = b.size() + 1;
  std::vector<int> before(width), previous(width), current(width);
  for (size_t j = 0; j < width; ++j) previous[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    current[0] = static_cast<int>(i);
    for (size_t j = 1; j < width; ++j) {
      const auto same = [&](size_t x, size_t y) {
        return absl::ascii_tolower(a[x - 1]) == absl::ascii_tolower(b[y - 1]);
      };
      current[j] =
          std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (same(i, j) ? 0 : 1)});
      if (i > 1 && j > 1 && same(i, j - 1) && same(i - 1, j)) {
        current[j] = std::min(current[j], before[j - 2] + 1);
      }
    }
    before.swap(previous);
    previous.swap(current);
  }
  return previous[b.size()];
}

std::string NearestWord(absl::string_view word, const std::vector<std::string>& choices) {
  constexpr size_t kWordMax = 64;
  if (word.empty() || word.size() > kWordMax) return "";
  const std::string* best = nullptr;
  int best_distance = 0;
  for (const std::string& choice : choices) {
    int distance = EditDistance(word, choice);
    const size_t length = std::max(word.size(), choice.size());
    // A beginning is a good guess too: `warm` for `warmup`.
    const bool beginning = word.size() >= 3 && absl::StartsWithIgnoreCase(choice, word);
    if (beginning) distance = std::min(distance, 2);
    if (!beginning && distance > std::max<int>(1, static_cast<int>(length) / 3)) continue;
    if (best == nullptr || distance < best_distance) {
      best = &choice;
      best_distance = distance;
    }
  }
  return best == nullptr ? "" : *best;
}

std::string DidYouMean(absl::string_view word, const std::vector<std::string>& choices) {
  const std::string nearest = NearestWord(word, choices);
  return nearest.empty() ? "" : absl::StrCat("did you mean `", nearest, "`?");
}

}  // namespace loglog
