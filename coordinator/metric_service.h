#ifndef LOGLOG_COORDINATOR_METRIC_SERVICE_H_
#define LOGLOG_COORDINATOR_METRIC_SERVICE_H_

#include "coordinator/engine.h"
#include "coordinator/service_gate.h"
#include "loglog/v1/worker_service.grpc.pb.h"

namespace loglog {

// A stream of metric batches: each one goes to the engine as it comes, several at a time
// so that they share commits, and is acknowledged once it is durable. Each one is asked again
// whether the caller may be its worker. Owns itself.
grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck>* StartMetricStream(Engine* engine,
                                                                           const ServiceGate* gate,
                                                                           const Principal& caller);

// A stream that ends at once.
grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck>* RefuseMetricStream(
    const absl::Status& status);

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_METRIC_SERVICE_H_
