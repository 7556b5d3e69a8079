// Tokens: who may call. Changes hold from the moment they are answered.
#include "absl/strings/str_cat.h"
#include "base/refusal.h"
#include "base/status.h"
#include "coordinator/access.h"
#include "coordinator/engine.h"
#include "coordinator/names.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using nlohmann::json;

constexpr int kPage = 1000;
constexpr int64_t kDayMs = 24 * 3'600'000;

}  // namespace

absl::Status Engine::LoadTokens() {
  for (int64_t after = 0;;) {
    LOGLOG_ASSIGN_OR_RETURN(const std::vector<TokenRow> page,
                            store_->read().ListTokens(after, kPage));
    for (const TokenRow& token : page) tokens_.Put(token);
    if (page.size() < kPage) return absl::OkStatus();
    after = page.back().token_id;
  }
}

absl::StatusOr<TokenRow> Engine::FindToken(absl::string_view token) {
  bool first_use = false;
  const int64_t wall_ms = clock_->wall_ms();
  absl::StatusOr<TokenRow> found = tokens_.Find(token, wall_ms, &first_use);
  if (!first_use) return found;
  const bool posted = strand_->Post(
      [this, token_id = found->token_id, day_ms = wall_ms - wall_ms % kDayMs]() -> Strand::After {
        if (EnsureTransaction().ok()) Must(store_->SetTokenUse(token_id, day_ms));
        return nullptr;
      });
  (void)posted;  // what stops needs no record of its last calls
  return found;
}

absl::Status Engine::CheckToken(int64_t token_id) const {
  return tokens_.Check(token_id, clock_->wall_ms());
}

bool Engine::HasAdminToken() const { return tokens_.HasLive(Role::kAdmin, clock_->wall_ms()); }

void Engine::CreateToken(const NewToken& token, Reply<TokenRow> reply, const std::string& caller) {
  if (!Admit(&user_calls_, &reply)) return;
  OnStrandFor<TokenRow>(
      caller,
      [this, reply = std::move(reply)](absl::StatusOr<TokenRow> made) {
        if (made.ok()) tokens_.Put(*made);
        reply(std::move(made));
      },
      [this, token] { return ApplyCreateToken(token); }, Strand::Lane::kPatient);
}

absl::StatusOr<TokenRow> Engine::ApplyCreateToken(const NewToken& token) {
  if (!IsResourceId(token.name)) {
    return absl::InvalidArgumentError(absl::StrCat("name: '", token.name.substr(0, 100),
                                                   "' is not of the form [a-z0-9][a-z0-9-]{0,62}"));
  }
  if (token.sha256.size() != 64 ||
      token.sha256.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return absl::InvalidArgumentError("sha256: must be 64 lower-case hex digits");
  }
  if ((token.role == Role::kWorker) != !token.worker.empty()) {
    return absl::InvalidArgumentError(
        "worker: a token of the role worker, and no other, says which worker it is for: an id, "
        "gpu-* or *");
  }
  if (!token.worker.empty()) LOGLOG_RETURN_IF_ERROR(CheckWorkerPattern(token.worker));
  constexpr int64_t kTtlMsMax = int64_t{100} * 366 * 24 * 3600 * 1000;
  if (token.ttl_ms < 0 || token.ttl_ms > kTtlMsMax) {
    return absl::InvalidArgumentError(
        "ttl_ms: must be from 0, for a token that does not expire, to 100 years");
  }
  if (static_cast<int64_t>(tokens_.size()) >= options_.capacity.tokens_max) {
    return NoRoom(absl::StrCat("the store has ", options_.capacity.tokens_max,
                               " tokens, revoked ones included, the most it may have; give several "
                               "users one token, or start a coordinator on a new store (--store)"));
  }
  LOGLOG_RETURN_IF_ERROR(EnsureTransaction());
  TokenRow row;
  row.name = token.name;
  row.role = token.role;
  row.worker = token.worker;
  row.sha256 = token.sha256;
  row.create_ms = wall_ms_;
  row.expire_ms = token.ttl_ms == 0 ? 0 : wall_ms_ + token.ttl_ms;
  bool created = false;
  LOGLOG_ASSIGN_OR_RETURN(row, store_->InsertToken(row, &created));
  if (!created) return row;
  TokenEvent("token.created", row);
  return row;
}

void Engine::RevokeToken(int64_t token_id, Reply<TokenRow> reply, const std::string& caller) {
  OnStrandFor<TokenRow>(caller, std::move(reply), [this, token_id]() -> absl::StatusOr<TokenRow> {
    LOGLOG_ASSIGN_OR_RETURN(const TokenRow before, store_->read().GetToken(token_id));
    if (before.revoke_ms != 0) return before;
    LOGLOG_RETURN_IF_ERROR(EnsureTransaction());
    LOGLOG_ASSIGN_OR_RETURN(TokenRow row, store_->RevokeToken(token_id, wall_ms_));
    TokenEvent("token.revoked", row);
    // Before the commit: open streams look when the event's bell rings. If the commit
    // fails, the caller is told to revoke again.
    tokens_.Put(row);
    return row;
  });
}

void Engine::TokenEvent(absl::string_view kind, const TokenRow& token) {
  json detail = {
      {"token_id", token.token_id}, {"name", token.name}, {"role", RoleName(token.role)}};
  if (!token.worker.empty()) detail["worker"] = token.worker;
  EventRow event;
  event.kind = std::string(kind);
  event.detail_json = detail.dump();
  AppendEvent(std::move(event));
  Log(spdlog::level::info, absl::StrCat("tokens/", token.token_id, " (", token.name, ", ",
                                        RoleName(token.role), ") was ", kind.substr(6)));
}

void Engine::ListTokens(int64_t after_token_id, int limit, Reply<std::vector<TokenRow>> reply) {
  OnReader<std::vector<TokenRow>>(readers_.get(), std::move(reply),
                                  [after_token_id, limit](const ReadStore& store) {
                                    return store.ListTokens(after_token_id, limit);
                                  });
}

}  // namespace loglog
