// The training loop: data in, engine steps, events and checkpoints out.
#ifndef LOGLOG_TRAINER_LOOP_H_
#define LOGLOG_TRAINER_LOOP_H_

#include <csignal>
#include <string>

#include "trainer/engine.h"
#include "trainer/ranks.h"
#include "trainer/task.h"

namespace loglog {

enum class LoopResult { kDone, kAllDiverged, kStopped };

struct LoopOptions {
  bool resume_newest = false;  // continue from the newest sound checkpoint, if any
  int bell_fd = -1;            // see events.h
  std::string trainer_version;
  // Set by a signal handler: finish the step, write a checkpoint, leave.
  const volatile std::sig_atomic_t* stop = nullptr;
  // How the engine is to run, beside what the task says. This process is rank 0 of engine.ranks,
  // the others run FollowTask.
  EngineOptions engine;
};

// Trains a task to its end. Throws ConfigError, ShardError, OutOfMemoryError, DeviceError,
// or FileError for a disk that fails.
LoopResult TrainTask(const Task& task, const LoopOptions& options);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_LOOP_H_
