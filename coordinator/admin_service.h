#ifndef LOGLOG_COORDINATOR_ADMIN_SERVICE_H_
#define LOGLOG_COORDINATOR_ADMIN_SERVICE_H_

#include "coordinator/engine.h"
#include "coordinator/service_gate.h"
#include "loglog/v1/admin_service.grpc.pb.h"

namespace loglog {

// The wire side of admins. Holds no state. Thread-safe.
class AdminServiceImpl : public v1::AdminService::CallbackService {
 public:
  AdminServiceImpl(Engine* engine, const ServiceGate* gate) : engine_(engine), gate_(gate) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

  Unary* CreateToken(Context* context, const v1::CreateTokenRequest* request,
                     v1::Token* response) override;
  Unary* ListTokens(Context* context, const v1::ListTokensRequest* request,
                    v1::ListTokensResponse* response) override;
  Unary* RevokeToken(Context* context, const v1::RevokeTokenRequest* request,
                     v1::Token* response) override;

 private:
  Engine* const engine_;
  const ServiceGate* const gate_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_ADMIN_SERVICE_H_
