// Checkpoints that exist whole or not at all.
//
//   <dir>/step-00000500/state.safetensors   every buffer of the engine
//                      /loop.json           what the training loop keeps beside it
//                      /manifest.json       step, identity, sizes and SHA-256 of both
//
// Nothing in them depends on the time, the host, the path or the attempt: the same step
// of the same configuration is the same bytes.
#ifndef LOGLOG_TRAINER_CHECKPOINT_H_
#define LOGLOG_TRAINER_CHECKPOINT_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "shards/token_shard.h"
#include "trainer/engine.h"
#include "trainer/task.h"

namespace loglog {

// What must agree for a checkpoint to continue a task.
struct CheckpointIdentity {
  std::string config_sha256;
  std::string data_sha256;
  std::string trainer_version;  // recorded; another one is reported, not refused
};

// A copy of the whole state at a step, detached from the engine.
struct Snapshot {
  int64_t step = 0;
  CheckpointIdentity identity;
  std::vector<StateBuffer> buffers;
  std::vector<char> bytes;  // the buffers' contents, one after the other
  nlohmann::ordered_json loop;
};

struct CommittedCheckpoint {
  int64_t step = 0;
  std::string path;
  std::string sha256;  // of manifest.json
  int64_t bytes = 0;   // of all files
};

struct LoadedCheckpoint {
  int64_t step = 0;
  std::string path;
  std::string trainer_version;
  std::string data_sha256;
  nlohmann::ordered_json loop;
  std::string state;       // the whole state file
  size_t state_begin = 0;  // where in it the buffers' contents begin

  const char* bytes() const { return state.data() + state_begin; }
};

// Where a commit can be interrupted, for tests.
enum class CommitPhase { kStateWritten, kManifestWritten, kRenamed };

struct CheckpointOptions {
  std::string dir;
  int64_t keep = 2;
  std::set<int64_t> kept_steps;  // which stay whatever comes later
  // A reader of the events may know of a checkpoint so much later than it was made.
  std::chrono::seconds events_lag{60};
  // Makes the events written so far durable. Called before the rename that makes the
  // checkpoint count, and before older checkpoints are removed.
  std::function<void()> sync_events;
  std::function<void(CommitPhase)> at_phase;
};

// Writes to a temporary folder, syncs, renames, syncs. Throws FileError (or, for what is no
// error of a file, std::runtime_error) naming the path, the bytes needed and those free; then
// nothing of it is left and older checkpoints are as they were.
CommittedCheckpoint CommitCheckpoint(const Snapshot& snapshot, const CheckpointOptions& options);

// Removes checkpoints up to `step`, whose own line must have been written, except for the
// `keep` newest and those that the reader of the events may still take for the newest: the
// successor of one is younger than `events_lag`. Of the latter a few, spread over that time,
// are enough: going back to the one before costs little. Throws FileError when the events
// cannot be synced; then nothing is removed.
void PruneCheckpoints(const CheckpointOptions& options, int64_t step);

// Reads and verifies a checkpoint. Throws DamagedCheckpoint when it is missing, cut short
// or changed, and ConfigError, naming both sides, when it belongs to another
// configuration or layout of state, and DataUnavailable when it is of this configuration and
// this host's data are others. `sha256`, unless empty, is what its manifest must hash to.
class DamagedCheckpoint : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
LoadedCheckpoint LoadCheckpoint(const std::string& path, const std::string& sha256,
                                const CheckpointIdentity& identity,
                                const std::vector<StateBuffer>& buffers);

// Reads and verifies one by itself, without a task that it should continue; its `state_begin`
// is not set. Throws DamagedCheckpoint, and ConfigError for a format that this trainer does not
// read.
LoadedCheckpoint ReadCheckpoint(const std::string& path, const std::string& sha256);

// The checkpoint of another task that `members` branch from: see CheckBranch. Throws as
// LoadCheckpoint does.
LoadedCheckpoint LoadParent(const ResumePoint& branch, const std::vector<MemberConfig>& members,
                            const std::string& data_sha256,
                            const std::vector<StateBuffer>& buffers);

// The checkpoint to start from: `wanted` or, when that is damaged or missing, the newest
// sound one in `dir` of at most its step; without `wanted`, and with `newest` before it, the newest
// sound one of at most `last_step`. Each one passed over is reported to `warn`.
std::optional<LoadedCheckpoint> FindCheckpoint(const std::string& dir,
                                               const std::optional<ResumePoint>& wanted,
                                               bool newest, int64_t last_step,
                                               const CheckpointIdentity& identity,
                                               const std::vector<StateBuffer>& buffers,
                                               const std::function<void(std::string)>& warn);

// Removes what commits that were interrupted left behind.
void RemoveUnfinished(const std::string& dir);

// Commits one checkpoint at a time on a thread of its own. Use from one thread.
class CheckpointWriter {
 public:
  explicit CheckpointWriter(CheckpointOptions options) : options_(std::move(options)) {}
  // Waits for a commit under way; its errors are dropped when they were not collected.
  ~CheckpointWriter();

  bool busy() const { return pending_.valid(); }
  // Must not be busy.
  void Start(Snapshot snapshot);
  // The result of the commit under way once it is there. Throws what the commit threw.
  std::optional<CommittedCheckpoint> Poll();
  std::optional<CommittedCheckpoint> Wait();
  // Prunes, also on the other thread. To be called when the line of the checkpoint of `step`
  // has been written.
  void StartPruning(int64_t step);
  // Returns when nothing is being removed. Throws what the pruning threw.
  void FinishPruning();

 private:
  CheckpointOptions options_;
  std::future<CommittedCheckpoint> pending_;
  std::future<void> pruning_;
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_CHECKPOINT_H_
