#include "tests/sim/trainer.h"

#include <exception>
#include <utility>

namespace loglog::sim {
namespace {

constexpr int64_t kStartMs = 50;
// Its host lacks the data or the disk: another one may do.
constexpr int kExitHost = 41;

}  // namespace

void Process::Start() { StepAfter(kStartMs); }

void Process::StepAfter(int64_t delay_ms) {
  options_.world->After(delay_ms, [self = shared_from_this()] {
    if (!self->alive()) return;
    const int64_t wait_ms = self->options_.stopped_until_ms() - self->options_.world->now_ms();
    if (wait_ms > 0) return self->StepAfter(wait_ms);
    self->Step();
  });
}

void Process::Step() {
  try {
    const HostDisk::Use use(*options_.disk);
    if (training_ == nullptr) {
      Task task = ReadTask(options_.attempt_dir + "/task.json");
      task_id_ = task.task_id;
      attempt_id_ = task.attempt_id;
      options_.on_start(*this);
      log_ = std::make_unique<EventLog>(options_.attempt_dir + "/events.jsonl", /*bell_fd=*/-1);
      training_ = std::make_unique<FakeTraining>(std::move(task), log_.get(), options_.diverge_at);
      training_->Start();
    } else if (asked_to_leave_ && !options_.misfortune.ignores_sigterm) {
      training_->Save();
      return End({.exit_code = kExitAskedToStop, .signal = 0});
    } else if (training_->step() == options_.misfortune.at_step && options_.misfortune.fills_disk &&
               !std::exchange(disk_filled_, true)) {
      options_.fill_disk();
    } else if (training_->step() == options_.misfortune.at_step &&
               !options_.misfortune.fills_disk) {
      const Misfortune& bad = options_.misfortune;
      if (!bad.hangs)
        return End({.exit_code = bad.signal != 0 ? -1 : bad.exit_code, .signal = bad.signal});
    } else if (const int code = training_->Advance(); code >= 0) {
      options_.bell();
      return End({.exit_code = code, .signal = 0});
    }
  } catch (const std::exception& e) {
    last_output_ = e.what();
    const int code = options_.disk->full() ? kExitHost : training_ == nullptr ? kExitRefused : 1;
    return End({.exit_code = code, .signal = 0});
  }
  options_.bell();
  StepAfter(options_.step_ms);
}

void Process::Kill() {
  options_.world->After(options_.world->About(30),
                        [self = shared_from_this()] { self->End({.exit_code = -1, .signal = 9}); });
}

void Process::End(const ExitStatus& status) {
  if (!alive()) return;
  ended_ = status;
  training_ = nullptr;
  log_ = nullptr;
}

}  // namespace loglog::sim
