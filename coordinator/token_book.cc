#include "coordinator/token_book.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "store/token.h"

namespace loglog {
namespace {

constexpr int64_t kDayMs = 24 * 3'600'000;

absl::Status StillHolds(const TokenRow& token, int64_t wall_ms) {
  const bool revoked = token.revoke_ms != 0;
  if (!revoked && (token.expire_ms == 0 || wall_ms < token.expire_ms)) return absl::OkStatus();
  return absl::UnauthenticatedError(absl::StrCat("tokens/", token.token_id, " of ", token.name,
                                                 revoked ? " was revoked" : " has expired",
                                                 "; ask an admin for another one"));
}

}  // namespace

void TokenBook::Put(const TokenRow& row) {
  MutexLock lock(mutex_);
  auto next = std::make_shared<Snapshot>(*current_);
  auto entry = std::make_shared<Entry>(row);
  next->by_sha256[row.sha256] = entry;
  next->by_id[row.token_id] = std::move(entry);
  current_ = std::move(next);
}

absl::StatusOr<TokenRow> TokenBook::Find(absl::string_view token, int64_t wall_ms,
                                         bool* first_use) const {
  *first_use = false;
  if (!IsTokenForm(token)) {
    return absl::UnauthenticatedError(
        "what was given is no token: one is llg_ and 64 hex digits, as `loglog token create` "
        "shows it; look at LOGLOG_TOKEN or --token-file");
  }
  const std::shared_ptr<const Snapshot> book = Current();
  const auto found = book->by_sha256.find(TokenSha256(token));
  if (found == book->by_sha256.end()) {
    return absl::UnauthenticatedError(
        "this coordinator does not know the token: is it of another store? Ask an admin for one "
        "(`loglog token create`)");
  }
  Entry& entry = *found->second;
  if (absl::Status status = StillHolds(entry.row, wall_ms); !status.ok()) return status;
  const int64_t day_ms = wall_ms - wall_ms % kDayMs;
  int64_t before = entry.last_use_ms.load(std::memory_order_relaxed);
  *first_use = before < day_ms && entry.last_use_ms.compare_exchange_strong(before, day_ms);
  return entry.row;
}

absl::Status TokenBook::Check(int64_t token_id, int64_t wall_ms) const {
  const std::shared_ptr<const Snapshot> book = Current();
  const auto found = book->by_id.find(token_id);
  if (found == book->by_id.end()) return absl::UnauthenticatedError("the token is not known");
  return StillHolds(found->second->row, wall_ms);
}

bool TokenBook::HasLive(Role role, int64_t wall_ms) const {
  const std::shared_ptr<const Snapshot> book = Current();
  for (const auto& [token_id, entry] : book->by_id) {
    if (entry->row.role == role && StillHolds(entry->row, wall_ms).ok()) return true;
  }
  return false;
}

}  // namespace loglog
