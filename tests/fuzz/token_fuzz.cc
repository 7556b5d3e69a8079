// Whom a call comes from: a token, then lines that are worker patterns and names of a client
// certificate. Only the text of a token that is known and holds is let in, no refusal repeats
// what was given, and a worker's token speaks for no other worker.
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "coordinator/access.h"
#include "coordinator/names.h"
#include "coordinator/token_book.h"
#include "store/token.h"

namespace loglog {
namespace {

constexpr int64_t kNowMs = 1'000'000;

std::string Known(char digit) { return "llg_" + std::string(64, digit); }

void CheckToken(const TokenBook& book, absl::string_view text) {
  bool first_use = false;
  const absl::StatusOr<TokenRow> row = book.Find(text, kNowMs, &first_use);
  LOGLOG_CHECK(row.ok() == (text == Known('1')));
  LOGLOG_CHECK(row.ok() || !first_use);
  if (row.ok()) return;
  LOGLOG_CHECK(absl::IsUnauthenticated(row.status()));
  // What is refused is not repeated: the words are the same for all that is no token.
  if (IsTokenForm(text)) {
    LOGLOG_CHECK(!absl::StrContains(row.status().message(), text));
  } else {
    LOGLOG_CHECK(row.status() == book.Find("", kNowMs, &first_use).status());
  }
}

void CheckPattern(const std::string& pattern, const std::string& worker_id) {
  if (!CheckWorkerPattern(pattern).ok()) return;
  const Principal caller = {.name = "w", .role = Role::kWorker, .worker = pattern};
  if (!CheckWorker(caller, worker_id).ok()) return;
  const bool many = absl::EndsWith(pattern, "*");
  const absl::string_view head(pattern.data(), pattern.size() - (many ? 1 : 0));
  LOGLOG_CHECK(many ? absl::StartsWith(worker_id, head) : worker_id == head);
}

void CheckCertificate(const std::vector<std::string>& names) {
  const absl::StatusOr<std::string> worker = WorkerOfCertificate(names);
  if (!worker.ok()) {
    LOGLOG_CHECK(absl::IsUnauthenticated(worker.status()));
    return;
  }
  LOGLOG_CHECK(worker->empty() || IsResourceId(*worker));
  for (const std::string& name : names) {
    if (absl::StartsWith(name, "worker:")) LOGLOG_CHECK(name == "worker:" + *worker);
  }
}

}  // namespace
}  // namespace loglog

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loglog;
  TokenBook book;
  book.Put({.token_id = 1, .name = "a", .role = Role::kAdmin, .sha256 = TokenSha256(Known('1'))});
  book.Put({.token_id = 2, .name = "b", .sha256 = TokenSha256(Known('2')), .revoke_ms = 1});
  book.Put({.token_id = 3, .name = "c", .sha256 = TokenSha256(Known('3')), .expire_ms = kNowMs});
  const std::vector<std::string> lines =
      absl::StrSplit(absl::string_view(reinterpret_cast<const char*>(data), size), '\n');
  for (const std::string& line : lines) CheckToken(book, line);
  for (size_t i = 1; i < lines.size(); ++i) CheckPattern(lines[i - 1], lines[i]);
  CheckCertificate(lines);
  return 0;
}
