#ifndef LOGLOG_COORDINATOR_METRIC_SERVICE_H_
#define LOGLOG_COORDINATOR_METRIC_SERVICE_H_

#include "coordinator/engine.h"
#include "loglog/v1/worker_service.grpc.pb.h"

namespace loglog {

// A stream of metric batches: each one goes to the engine as it comes, several at a time
// so that they share commits, and is acknowledged once it is durable. Owns itself.
grpc::ServerBidiReactor<v1::MetricBatch, v1::MetricAck>* StartMetricStream(Engine* engine);

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_METRIC_SERVICE_H_
