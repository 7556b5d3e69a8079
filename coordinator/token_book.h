#ifndef LOGLOG_COORDINATOR_TOKEN_BOOK_H_
#define LOGLOG_COORDINATOR_TOKEN_BOOK_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "store/rows.h"

namespace loglog {

// The tokens of a store, for looking up: each call takes the newest snapshot, which nobody
// changes any more, so that calls wait neither for the strand nor for each other.
// Thread-safe.
class TokenBook {
 public:
  // Adds a token, or says something new of one that is there.
  void Put(const TokenRow& row) LOGLOG_EXCLUDES(mutex_);
  // The token's row. UNAUTHENTICATED when it is no token, not known, revoked or expired; the
  // message never repeats what was given. `first_use` says whether this is its first use on
  // this day (UTC), and is so for one call.
  absl::StatusOr<TokenRow> Find(absl::string_view token, int64_t wall_ms, bool* first_use) const;
  // Whether it still holds. UNAUTHENTICATED.
  absl::Status Check(int64_t token_id, int64_t wall_ms) const;
  // Whether a token of this role holds for ever or for now.
  bool HasLive(Role role, int64_t wall_ms) const;
  size_t size() const { return Current()->by_id.size(); }

 private:
  struct Entry {
    explicit Entry(const TokenRow& token) : row(token), last_use_ms(token.last_use_ms) {}
    const TokenRow row;
    std::atomic<int64_t> last_use_ms;
  };
  struct Snapshot {
    // The key is a hash of what was given: how long a comparison takes tells nothing that
    // helps to guess a token.
    absl::flat_hash_map<std::string, std::shared_ptr<Entry>> by_sha256;
    absl::flat_hash_map<int64_t, std::shared_ptr<Entry>> by_id;
  };

  std::shared_ptr<const Snapshot> Current() const LOGLOG_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return current_;
  }

  mutable Mutex mutex_;
  std::shared_ptr<const Snapshot> current_ LOGLOG_GUARDED_BY(mutex_) =
      std::make_shared<const Snapshot>();
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_TOKEN_BOOK_H_
