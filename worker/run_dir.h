#ifndef LOGLOG_WORKER_RUN_DIR_H_
#define LOGLOG_WORKER_RUN_DIR_H_

#include <signal.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file.h"
#include "worker/device.h"
#include "worker/outcome.h"
#include "worker/slot.h"
#include "worker/survivor.h"

namespace loglog::worker {

// The worker's files:
//   <root>/worker-id, lock, store-id, survivor-<pid>
//   <root>/<store>/attempt-<id>/{task.json,events.jsonl,stderr.log,outcome.json,pid}
//   <root>/<store>/failed/attempt-<id>/    the newest few that failed, for people
//   <checkpoint root>/<store>/task-<id>/step-<step>/
// An attempt's folder lives until the coordinator forgets the attempt. What the worker writes
// into it outlives the daemon, not a loss of power: then no trainer lives, the events that
// the trainer synced say how far it came, and a slot waits for no disk. One process at a
// time owns a root (lock file). Only its user reads or writes there, and a symbolic link in
// the place of one of these folders is not followed. Thread-safe: holds no state but its
// paths.
class RunDir {
 public:
  struct Options {
    std::string root;
    std::string checkpoint_root;  // empty: <root>/checkpoints
    std::string data_root = ".";
    std::string name;                 // worker id; empty: the one in worker-id, else a new one
    bool shared_checkpoints = false;  // with other workers, who may be other users
  };

  // Makes the folders and takes the lock. INVALID_ARGUMENT: the name is malformed.
  // FAILED_PRECONDITION: another daemon owns the root, or other users can write to it.
  static absl::StatusOr<std::unique_ptr<RunDir>> Open(const Options& options);

  const std::string& worker_id() const { return worker_id_; }
  const std::string& root() const { return root_; }
  const std::string& checkpoint_root() const { return checkpoint_root_; }

  // The store that this root's worker last served; empty when none. Only a hint.
  std::string LastStore() const;
  absl::Status SetLastStore(const std::string& store) const;

  std::string AttemptDir(const std::string& store, int64_t attempt_id) const;
  std::string TaskCheckpointDir(const std::string& store, int64_t task_id) const;

  // Makes the attempt's folder, anew when it is there, with the complete task.json.
  // INVALID_ARGUMENT: the coordinator's task is malformed, or names files that are not for it.
  absl::Status Prepare(const std::string& store, const TaskOrder& order,
                       const Placement& placement) const;
  // Lets a later daemon find a trainer that outlived this one.
  absl::Status WritePid(const std::string& store, int64_t attempt_id, pid_t pid) const;
  absl::Status WriteOutcome(const std::string& store, int64_t attempt_id,
                            const Outcome& outcome) const;

  // Members of the attempt's task; 0 when task.json cannot be read.
  int CountMembers(const std::string& store, int64_t attempt_id) const;

  // After the coordinator's Forget. Of a failed attempt the folder moves to failed/, of
  // any other it is removed. A task that is done or diverged, and whose end was `accepted`, keeps
  // only its newest checkpoint and those that branches of it begin at; until then another attempt
  // may be going on from any of them.
  void Forget(const std::string& store, int64_t attempt_id, bool accepted) const;

  // Attempts on disk, and the stores that have any.
  std::vector<int64_t> ListAttempts(const std::string& store) const;
  std::vector<std::string> ListStores() const;

  // The outcome of an attempt found on disk: the one written, else what the events say
  // (and then it is written).
  absl::StatusOr<Outcome> RecoverOutcome(const std::string& store, int64_t attempt_id) const;
  // The folder of the order's attempt is that of this very task and has events in it: an
  // earlier daemon ran it.
  bool HoldsEventsOf(const std::string& store, const TaskOrder& order) const;
  // Kills trainers of earlier daemons that still live, in any store, and waits until
  // they are gone, for all of them at most `timeout_ms` and a little. Only a process that
  // is provably the recorded one is touched. Those that did not go keep a record in the
  // root, however long it takes.
  std::vector<Survivor> KillSurvivors(int64_t timeout_ms = 10'000,
                                      KillFunction kill_function = ::kill) const;

 private:
  RunDir(std::string root, std::string checkpoint_root, std::string data_root,
         std::unique_ptr<LockFile> lock);
  std::string StoreDir(const std::string& store) const { return root_ + "/" + store; }
  void KeepNewestCheckpoint(const std::string& store, int64_t task_id,
                            const std::set<int64_t>& branch_steps) const;
  std::vector<std::string> ProcessRecords() const;
  void PruneFailed(const std::string& failed_dir) const;

  const std::string root_;
  const std::string checkpoint_root_;
  const std::string data_root_;
  const std::unique_ptr<LockFile> lock_;
  std::string worker_id_;
};

// Lower-case letters, digits and dashes, 1 to 63 of them, no dash first.
bool IsWorkerId(absl::string_view id);

// The task that the trainer gets: the coordinator's text, byte for byte, with `fields`
// (the inside of a JSON object) added before its closing brace. INVALID_ARGUMENT when it
// is no object or has one of those fields already.
absl::StatusOr<std::string> ComposeTask(const std::string& task_json, const std::string& fields);

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_RUN_DIR_H_
