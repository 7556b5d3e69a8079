#ifndef LOGLOG_TESTS_FAKE_TRAINER_JOURNAL_H_
#define LOGLOG_TESTS_FAKE_TRAINER_JOURNAL_H_

#include <string>

#include "tests/fake_trainer/task.h"

namespace loglog {

// Tells a checker which trainers lived when. One line of JSON for each:
//   {"e":"start","task":T,"attempt":A,"pid":P,"ns":CLOCK_MONOTONIC,"misfortune":"..."}
//   {"e":"overlap", as above, "other":"<attempt> <pid>"}   the task has a living trainer
//   {"e":"leave", as above}                                 not when it was killed
// The living one is found by a lock on PATH.task-T, which the kernel lets go of when the
// last process of the trainer that holds it is gone.
class Journal {
 public:
  // Does nothing when the path is empty. Throws when it cannot be written.
  Journal(const std::string& path, const Task& task, const std::string& misfortune);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

 private:
  void Write(const char* event, const std::string& other) const;
  void TakeLock(const std::string& path);

  const int64_t task_id_;
  const int64_t attempt_id_;
  const std::string misfortune_;
  int fd_ = -1;
  int lock_fd_ = -1;
};

}  // namespace loglog

#endif  // LOGLOG_TESTS_FAKE_TRAINER_JOURNAL_H_
