#ifndef LOGLOG_WORKER_WIRE_H_
#define LOGLOG_WORKER_WIRE_H_

#include <cstdint>
#include <string>

#include "loglog/v1/worker_service.pb.h"
#include "worker/event_file.h"
#include "worker/supervisor.h"

namespace loglog::worker {

// The worker's structs as messages and back. Pure.

v1::AttemptOutcome ToProto(const Outcome& outcome);
v1::MetricBatch ToProto(const EventBatch& batch, const std::string& worker_id,
                        int64_t session_epoch);
// Slots, held attempts and health; the caller adds who and for how long.
v1::SyncWorkerRequest ToProto(const WorkerView& view);
// Wishes that say nothing (NONE) are left out.
std::vector<SlotWish> WishesFromProto(const v1::SyncWorkerResponse& response);

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_WIRE_H_
