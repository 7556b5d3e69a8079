#ifndef LOGLOG_STORE_ROWS_FROM_H_
#define LOGLOG_STORE_ROWS_FROM_H_

#include <vector>

#include "absl/status/statusor.h"
#include "store/connection.h"
#include "store/rows.h"

// What the writer's start-up and the readers read in the same way.
namespace loglog {

absl::StatusOr<std::vector<SweepRow>> ReadLiveSweeps(Connection* db);
absl::StatusOr<std::vector<AttemptRow>> ReadLiveAttempts(Connection* db);
absl::StatusOr<std::vector<WorkerRow>> ReadPresentWorkers(Connection* db);

}  // namespace loglog

#endif  // LOGLOG_STORE_ROWS_FROM_H_
