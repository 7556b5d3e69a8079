#include "coordinator/admin_service.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/names.h"
#include "coordinator/service_unary.h"

namespace loglog {
namespace {

v1::Role ToProto(Role role) {
  switch (role) {
    case Role::kViewer:
      return v1::VIEWER;
    case Role::kSubmitter:
      return v1::SUBMITTER;
    case Role::kWorker:
      return v1::WORKER;
    case Role::kAdmin:
      return v1::ADMIN;
  }
  return v1::ROLE_UNSPECIFIED;
}

absl::StatusOr<Role> FromProto(v1::Role role) {
  switch (role) {
    case v1::VIEWER:
      return Role::kViewer;
    case v1::SUBMITTER:
      return Role::kSubmitter;
    case v1::WORKER:
      return Role::kWorker;
    case v1::ADMIN:
      return Role::kAdmin;
    default:
      return absl::InvalidArgumentError(absl::StrCat("role: ", static_cast<int>(role),
                                                     " is none of VIEWER, SUBMITTER, WORKER and "
                                                     "ADMIN"));
  }
}

v1::Token ToProto(const TokenRow& row) {
  v1::Token token;
  token.set_name(TokenName(row.token_id));
  token.set_caller(row.name);
  token.set_role(ToProto(row.role));
  token.set_worker(row.worker);
  token.set_create_time_ms(row.create_ms);
  token.set_expire_time_ms(row.expire_ms);
  token.set_revoke_time_ms(row.revoke_ms);
  token.set_last_use_time_ms(row.last_use_ms);
  return token;
}

}  // namespace

grpc::ServerUnaryReactor* AdminServiceImpl::CreateToken(Context* context,
                                                        const v1::CreateTokenRequest* request,
                                                        v1::Token* response) {
  LOGLOG_OR_REFUSE(const Principal caller, gate_->Admit(*context, "AdminService.CreateToken"));
  NewToken token;
  LOGLOG_OR_REFUSE(token.role, FromProto(request->role()));
  token.name = request->caller();
  token.worker = request->worker();
  token.sha256 = request->sha256();
  token.ttl_ms = request->ttl_ms();
  Unary* const reactor = context->DefaultReactor();
  engine_->CreateToken(
      token,
      ReplyTo<TokenRow>(reactor, [response](const TokenRow& row) { *response = ToProto(row); }),
      caller.name);
  return reactor;
}

grpc::ServerUnaryReactor* AdminServiceImpl::ListTokens(Context* context,
                                                       const v1::ListTokensRequest* request,
                                                       v1::ListTokensResponse* response) {
  LOGLOG_OR_REFUSE(const Principal caller, gate_->Admit(*context, "AdminService.ListTokens"));
  LOGLOG_OR_REFUSE(const int size, PageSize(request->page_size()));
  LOGLOG_OR_REFUSE(const int64_t after, PositionFrom("tokens", request->page_token()));
  Unary* const reactor = context->DefaultReactor();
  engine_->ListTokens(
      after, size, ReplyTo<std::vector<TokenRow>>(reactor, [=](const std::vector<TokenRow>& rows) {
        for (const TokenRow& row : rows) *response->add_tokens() = ToProto(row);
        if (static_cast<int>(rows.size()) == size) {
          response->set_next_page_token(
              MakePageToken("tokens", absl::StrCat(rows.back().token_id)));
        }
      }));
  return reactor;
}

grpc::ServerUnaryReactor* AdminServiceImpl::RevokeToken(Context* context,
                                                        const v1::RevokeTokenRequest* request,
                                                        v1::Token* response) {
  LOGLOG_OR_REFUSE(const Principal caller, gate_->Admit(*context, "AdminService.RevokeToken"));
  LOGLOG_OR_REFUSE(const int64_t token_id, ParseTokenName(request->name()));
  Unary* const reactor = context->DefaultReactor();
  engine_->RevokeToken(
      token_id,
      ReplyTo<TokenRow>(reactor, [response](const TokenRow& row) { *response = ToProto(row); }),
      caller.name);
  return reactor;
}

}  // namespace loglog
