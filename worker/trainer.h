#ifndef LOGLOG_WORKER_TRAINER_H_
#define LOGLOG_WORKER_TRAINER_H_

#include <sys/types.h>

#include <string>

#include "base/subprocess.h"

namespace loglog::worker {

// One running trainer, as its slot sees it.
class Trainer {
 public:
  virtual ~Trainer() = default;

  virtual pid_t pid() const = 0;
  // Asks it to write a checkpoint and leave, also when it is stopped.
  virtual void Terminate() = 0;
  // It and all of its group.
  virtual void Kill() = 0;
  // True once nothing of its group is left; then how it ended.
  virtual bool TryReap(ExitStatus* status) = 0;
  // The lease guard killed it; known once it has ended.
  virtual bool killed_by_guard() const = 0;
  virtual const std::string& last_output() const = 0;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_TRAINER_H_
