// Bearer tokens: rows that hold a hash and never a token.
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "store/connection.h"
#include "store/names.h"
#include "store/store.h"

namespace loglog {
namespace {

#define LOGLOG_TOKEN_COLUMNS                                                       \
  "SELECT token_id, name, role, worker, sha256, create_ms, expire_ms, revoke_ms, " \
  "last_use_ms FROM tokens "

TokenRow TokenOf(const Cursor& row) {
  return {row.Int(0), row.Text(1), RoleOf(row.Text(2)), row.Text(3), row.Text(4),
          row.Int(5), row.Int(6),  row.Int(7),          row.Int(8)};
}

}  // namespace

absl::StatusOr<TokenRow> ReadStore::GetToken(int64_t token_id) const {
  Cursor row = db_->Query(LOGLOG_TOKEN_COLUMNS "WHERE token_id = ?1", token_id);
  if (row.Next()) return TokenOf(row);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return absl::NotFoundError(absl::StrCat("tokens/", token_id, " is not in the store"));
}

absl::StatusOr<std::vector<TokenRow>> ReadStore::ListTokens(int64_t after_token_id,
                                                            int limit) const {
  std::vector<TokenRow> tokens;
  Cursor row = db_->Query(LOGLOG_TOKEN_COLUMNS "WHERE token_id > ?1 ORDER BY token_id LIMIT ?2",
                          after_token_id, limit);
  while (row.Next()) tokens.push_back(TokenOf(row));
  LOGLOG_RETURN_IF_ERROR(row.status());
  return tokens;
}

absl::StatusOr<TokenRow> Store::InsertToken(const TokenRow& token, bool* created) {
  *created = false;
  TokenRow stored = token;
  LOGLOG_RETURN_IF_ERROR(Atomically([&]() -> absl::Status {
    Cursor known = db_->Query(LOGLOG_TOKEN_COLUMNS "WHERE sha256 = ?1", token.sha256);
    if (known.Next()) {
      stored = TokenOf(known);
      return known.Finish();
    }
    LOGLOG_RETURN_IF_ERROR(known.status());
    LOGLOG_RETURN_IF_ERROR(db_->Run(
        "INSERT INTO tokens (name, role, worker, sha256, create_ms, expire_ms) VALUES (?1, ?2, "
        "?3, ?4, ?5, ?6)",
        token.name, RoleName(token.role), token.worker, token.sha256, token.create_ms,
        token.expire_ms));
    stored.token_id = db_->last_insert_id();
    *created = true;
    return absl::OkStatus();
  }));
  return stored;
}

absl::StatusOr<TokenRow> Store::RevokeToken(int64_t token_id, int64_t revoke_ms) {
  LOGLOG_RETURN_IF_ERROR(Atomically([&] {
    return db_->Run("UPDATE tokens SET revoke_ms = ?2 WHERE token_id = ?1 AND revoke_ms = 0",
                    token_id, revoke_ms);
  }));
  return read_->GetToken(token_id);
}

absl::Status Store::SetTokenUse(int64_t token_id, int64_t last_use_ms) {
  return Atomically([&]() -> absl::Status {
    LOGLOG_RETURN_IF_ERROR(
        db_->Run("UPDATE tokens SET last_use_ms = ?2 WHERE token_id = ?1", token_id, last_use_ms));
    return RequireChange(absl::StrCat("tokens/", token_id));
  });
}

}  // namespace loglog
