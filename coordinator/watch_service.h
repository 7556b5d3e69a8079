#ifndef LOGLOG_COORDINATOR_WATCH_SERVICE_H_
#define LOGLOG_COORDINATOR_WATCH_SERVICE_H_

#include <cstdint>
#include <string>

#include "coordinator/engine.h"
#include "coordinator/service_gate.h"
#include "loglog/v1/sweep_service.grpc.pb.h"

namespace loglog {

// A call that sends the events of a sweep ("": of all) after an event id, and then new
// ones, until the client leaves, its token is revoked, or the coordinator stops. Owns itself.
grpc::ServerWriteReactor<v1::Event>* StartWatch(Engine* engine, const ServiceGate* gate,
                                                const Principal& caller, const std::string& sweep,
                                                int64_t after_event_id);

// A call that ends at once.
grpc::ServerWriteReactor<v1::Event>* RefuseWatch(const absl::Status& status);

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_WATCH_SERVICE_H_
