#include "store/token.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/unique_id.h"
#include "shards/sha256.h"

namespace loglog {
namespace {

constexpr char kPrefix[] = "llg_";
constexpr int kBytes = 32;

}  // namespace

std::string MakeToken() { return absl::StrCat(kPrefix, RandomHexId(kBytes)); }

bool IsTokenForm(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, kPrefix) || text.size() != 2 * kBytes) return false;
  for (const char c : text) {
    if (!absl::ascii_isdigit(c) && (c < 'a' || c > 'f')) return false;
  }
  return true;
}

std::string TokenSha256(absl::string_view token) { return Sha256Hex({token.data(), token.size()}); }

}  // namespace loglog
