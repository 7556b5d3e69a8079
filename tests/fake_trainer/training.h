#ifndef LOGLOG_TESTS_FAKE_TRAINER_TRAINING_H_
#define LOGLOG_TESTS_FAKE_TRAINER_TRAINING_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "tests/fake_trainer/event_log.h"
#include "tests/fake_trainer/task.h"

namespace loglog {

// A task's training, made up: losses follow a planted law L = 1 + 30 N^-0.3 + 20 D^-beta
// with noise that depends on the configuration, the seed and every step before; so a
// resume from the wrong state shows in the numbers.
class FakeTraining {
 public:
  // From this step on the loss of a task's first member is not finite; -1: never.
  using DivergeAt = std::function<int64_t(const Task&)>;

  FakeTraining(Task task, EventLog* log, DivergeAt diverge_at)
      : task_(std::move(task)),
        log_(log),
        diverge_at_(diverge_at(task_)),
        diverged_(task_.members.size()) {}

  // Loads the checkpoint, if there is one, and says where it starts.
  void Start();
  // Trains one step and writes what is due. The exit code at the end, else -1.
  int Advance();
  // Writes a checkpoint, as it does when it is asked to leave; none before the first step.
  void Save() {
    if (step_ > 0) WriteCheckpoint();
  }
  int64_t step() const { return step_; }

 private:
  bool AllDiverged() const;
  void AdvanceMember(size_t i);
  void WriteStart();
  void WriteRow(size_t member, const nlohmann::ordered_json& values);
  void WriteCheckpoint();
  void WriteEnd(size_t member, const char* outcome);

  Task task_;
  EventLog* const log_;
  const int64_t diverge_at_;
  std::vector<bool> diverged_;
  int64_t step_ = 0;
};

}  // namespace loglog

#endif  // LOGLOG_TESTS_FAKE_TRAINER_TRAINING_H_
