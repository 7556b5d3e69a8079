#ifndef LOGLOG_WORKER_PATHS_H_
#define LOGLOG_WORKER_PATHS_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog::worker {

// What of a path is not the worker's own doing: names that came over the wire, folders that
// others may have touched. Thread-safe.

// FAILED_PRECONDITION, with the fix, unless the folder is this user's and only this user
// writes to it; then nobody else reads it either, from now on. A shared one may be another
// user's or a group's, and its mode stays. `flag` is the one that chose it.
absl::Status CheckFolder(const std::string& path, absl::string_view flag, bool shared);

// Makes `root`/names[0]/names[1]/..., of which `root` is there. FAILED_PRECONDITION when
// something else stands in the place of one of them, a symbolic link included.
absl::Status MakeFoldersBelow(const std::string& root, const std::vector<std::string>& names);

// Can name a folder in the run directory, beside the files that are there anyway.
bool IsStoreId(absl::string_view id);

// The checkpoint that an order names, in `folder`, this worker's checkpoints of the store.
// One that another worker of the scope mounts elsewhere, or that was elsewhere when this
// worker was started with another --checkpoint-dir, is looked for under the same two names,
// task-N/step-M, here. INVALID_ARGUMENT: the path is none of a checkpoint.
absl::StatusOr<std::string> LocalCheckpoint(const std::string& folder, const std::string& path);

// INVALID_ARGUMENT when a data glob of the task, one of its domains or its file of weights climbs
// out of --data-root. Absolute ones are the user's choice: data lies where it lies.
absl::Status CheckGlobs(const nlohmann::json& task);

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_PATHS_H_
