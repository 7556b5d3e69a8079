#ifndef LOGLOG_TESTS_SIM_TRAINER_H_
#define LOGLOG_TESTS_SIM_TRAINER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tests/fake_trainer/training.h"
#include "tests/sim/host_disk.h"
#include "tests/sim/world.h"
#include "worker/trainer.h"

namespace loglog::sim {

// What goes wrong with one run of a trainer.
struct Misfortune {
  int64_t at_step = -1;     // -1: nothing
  int exit_code = 0;        // leaves with it ...
  int signal = 0;           // ... or dies by it ...
  bool hangs = false;       // ... or makes no progress any more ...
  bool fills_disk = false;  // ... or fills the disk of its host
  bool ignores_sigterm = false;
};

// The process of one trainer: it trains step by step in simulated time, and lives until
// it ends or is killed, whoever still holds on to it.
class Process : public std::enable_shared_from_this<Process> {
 public:
  struct Options {
    World* world = nullptr;
    const HostDisk* disk = nullptr;
    std::string attempt_dir;
    int slots = 1;  // that it holds
    int64_t step_ms = 10;
    Misfortune misfortune;
    FakeTraining::DivergeAt diverge_at;
    std::function<int64_t()> stopped_until_ms;  // its host does nothing before
    std::function<void()> bell;                 // rung after each line
    std::function<void()> fill_disk;
    std::function<void(const Process&)> on_start;  // it knows its task
  };
  explicit Process(Options options) : options_(std::move(options)) {}

  void Start();
  void Terminate() { asked_to_leave_ = true; }
  // SIGKILL; the kernel takes a moment over it.
  void Kill();
  bool alive() const { return !ended_.has_value(); }
  const ExitStatus& status() const { return *ended_; }
  int slots() const { return options_.slots; }
  int64_t task_id() const { return task_id_; }
  int64_t attempt_id() const { return attempt_id_; }
  const std::string& last_output() const { return last_output_; }

 private:
  void StepAfter(int64_t delay_ms);
  void Step();
  void End(const ExitStatus& status);

  const Options options_;
  int64_t task_id_ = 0;
  int64_t attempt_id_ = 0;
  std::unique_ptr<EventLog> log_;
  std::unique_ptr<FakeTraining> training_;
  bool asked_to_leave_ = false;
  bool disk_filled_ = false;
  std::optional<ExitStatus> ended_;
  std::string last_output_;
};

// A seat's hold on a process. The process dies when it is let go of, as the parent-death
// signal sees to.
class SimTrainer : public worker::Trainer {
 public:
  explicit SimTrainer(std::shared_ptr<Process> process, pid_t pid)
      : process_(std::move(process)), pid_(pid) {}
  ~SimTrainer() override {
    if (!let_go_) process_->Kill();
  }
  // The process outlives its daemon.
  void LetGo() { let_go_ = true; }

  pid_t pid() const override { return pid_; }
  void Terminate() override { process_->Terminate(); }
  void Kill() override { process_->Kill(); }
  bool TryReap(ExitStatus* status) override {
    if (process_->alive()) return false;
    *status = process_->status();
    return true;
  }
  bool killed_by_guard() const override { return false; }
  const std::string& last_output() const override { return process_->last_output(); }

 private:
  const std::shared_ptr<Process> process_;
  const pid_t pid_;
  bool let_go_ = false;
};

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_TRAINER_H_
