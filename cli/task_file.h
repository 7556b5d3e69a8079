#ifndef LOGLOG_CLI_TASK_FILE_H_
#define LOGLOG_CLI_TASK_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "loglog/v1/common.pb.h"

namespace loglog::cli {

// What a trial's config leaves to whoever runs it.
struct TaskOptions {
  std::string data_root;  // where relative data globs start; empty: the current folder
  std::string device;     // "cpu" or "cuda:0"; empty: what the config's precision needs
  int64_t checkpoint_every = 200;
  int64_t checkpoint_keep = 2;
};

// A task.json that trains this one trial, whole and from fresh weights: the same
// numbers as the sweep's.
// FAILED_PRECONDITION: the trial came without its config, or the current folder is gone.
absl::StatusOr<std::string> TaskFileFor(const v1::Trial& trial, const TaskOptions& options);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_TASK_FILE_H_
