#ifndef LOGLOG_WORKER_TRAINER_PROCESS_H_
#define LOGLOG_WORKER_TRAINER_PROCESS_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/subprocess.h"
#include "worker/lease_guard.h"
#include "worker/log_capture.h"
#include "worker/trainer.h"

namespace loglog::worker {

// One running loglog-trainer with its bell (descriptor 3) and its captured output.
// The trainer dies with this daemon: it asks for a parent-death signal and then compares
// its parent with LOGLOG_PARENT_PID.
// Confined to the thread that started it, which must live as long as the trainer.
class TrainerProcess : public Trainer {
 public:
  // Runs `binary attempt_dir/task.json` in the attempt's folder, watched by `guard`,
  // which must outlive it.
  static absl::StatusOr<std::unique_ptr<TrainerProcess>> Start(const std::string& binary,
                                                               const std::string& attempt_dir,
                                                               LeaseGuard* guard);
  ~TrainerProcess() override;

  pid_t pid() const override { return process_->pid(); }
  int pidfd() const { return process_->pidfd(); }
  // For poll(); -1 once closed at the other end.
  int bell_fd() const { return bell_fd_; }
  int output_fd() const { return output_fd_; }

  // Empties the bell. True when it had rung.
  bool DrainBell();
  void DrainOutput();
  void Terminate() override;
  void Kill() override;
  // Completes the log when true.
  bool TryReap(ExitStatus* status) override;
  bool killed_by_guard() const override { return killed_by_guard_; }
  const std::string& last_output() const override { return log_.last_bytes(); }

 private:
  TrainerProcess(std::unique_ptr<Subprocess> process, LeaseGuard* guard, int bell_fd, int output_fd,
                 const std::string& log_path);
  bool ChildEnded() const;
  void LeaveGuard();

  const std::unique_ptr<Subprocess> process_;
  LeaseGuard* const guard_;
  bool killed_by_guard_ = false;
  int bell_fd_;
  int output_fd_;
  LogCapture log_;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_TRAINER_PROCESS_H_
