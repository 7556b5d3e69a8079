#ifndef LOGLOG_TESTS_FAKE_TRAINER_CHECKPOINT_H_
#define LOGLOG_TESTS_FAKE_TRAINER_CHECKPOINT_H_

#include <cstdint>
#include <string>

#include "tests/fake_trainer/task.h"

namespace loglog {

struct CheckpointInfo {
  int64_t step = 0;
  std::string path;
  std::string sha256;  // of its manifest
  int64_t bytes = 0;
};

// Commits the members' chains at `step` and removes all but the newest task.keep.
// The bytes depend on the chains and the step alone.
CheckpointInfo SaveCheckpoint(const Task& task, int64_t step);

// Loads the checkpoint to resume from into the members; damaged or missing ones are
// passed over for the newest older valid one. The step it is at; 0 when there is none.
int64_t LoadCheckpoint(Task* task);

}  // namespace loglog

#endif  // LOGLOG_TESTS_FAKE_TRAINER_CHECKPOINT_H_
