#ifndef LOGLOG_COORDINATOR_ENGINE_TESTING_H_
#define LOGLOG_COORDINATOR_ENGINE_TESTING_H_

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "coordinator/engine.h"

namespace loglog {

// The answer to a call of the engine, whenever it comes.
template <typename T>
class Answer {
 public:
  Engine::Reply<T> reply() {
    return [state = state_](absl::StatusOr<T> value) {
      MutexLock lock(state->mutex);
      EXPECT_FALSE(state->value.has_value()) << "answered twice";
      state->value = std::move(value);
      state->changed.NotifyAll();
    };
  }
  bool ready() const {
    MutexLock lock(state_->mutex);
    return state_->value.has_value();
  }
  absl::StatusOr<T> Wait() const {
    MutexLock lock(state_->mutex);
    const bool came =
        state_->changed.WaitFor(state_->mutex, 60'000, [&] { return state_->value.has_value(); });
    if (!came) return absl::DeadlineExceededError("no answer in a minute");
    return *state_->value;
  }

 private:
  struct State {
    Mutex mutex;
    CondVar changed;
    std::optional<absl::StatusOr<T>> value;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// Calls and waits: Call<SweepView>([&](auto reply) { engine->GetSweep("s", reply); }).
template <typename T>
absl::StatusOr<T> Call(const std::function<void(Engine::Reply<T>)>& call) {
  Answer<T> answer;
  call(answer.reply());
  return answer.Wait();
}

// A folder that goes away with the object.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A spec of arms a and b (lr), token budgets `budgets` times 640 and seeds 0 .. seeds-1,
// on a model that nobody trains: trials of 10, 20, ... steps.
std::string TinySpec(const std::string& name, int budgets = 1, int seeds = 1,
                     const std::string& more = "");

// What a worker daemon would do, without one: all calls wait for their answers.
class FakeWorker {
 public:
  FakeWorker(Engine* engine, std::string worker_id, int slots = 1)
      : engine_(engine), worker_id_(std::move(worker_id)), slots_(slots, SlotReport{}) {
    for (int i = 0; i < slots; ++i) slots_[i].slot = i;
  }

  absl::Status Register(const std::string& boot = "boot", const std::vector<int64_t>& held = {});
  SyncRequest Request(int64_t wait_ms = 0) const;
  absl::StatusOr<SyncAnswer> Sync(int64_t wait_ms = 0);
  // Syncs and takes up what the answer says: starts what it is told to run, is idle
  // after a kill or a forget.
  absl::StatusOr<SyncAnswer> SyncAndObey(int64_t wait_ms = 0);
  void Obey(const SyncAnswer& answer);

  absl::StatusOr<BatchAnswer> Send(int64_t attempt_id, int64_t first_seq,
                                   std::vector<TrainerEvent> events);
  // A start, rows of loss/train at steps 1 .. steps (of `tokens_per_step`), and the end.
  absl::Status Train(const TaskOrder& order, double final_loss, bool diverged = false);
  // The attempt in this slot has ended; told with the next sync.
  void Finish(int slot, OutcomeKind kind, const std::string& message = "");
  // What it runs and all that is asked of it then, until the coordinator has nothing more to run.
  // Returns how many attempts that were.
  int WorkOff(const std::function<double(const TaskOrder&)>& final_loss);

  const std::string& id() const { return worker_id_; }
  int64_t epoch() const { return epoch_; }
  void set_epoch(int64_t epoch) { epoch_ = epoch; }
  const TaskOrder& order(int slot = 0) const { return orders_.at(slot); }
  SlotReport& slot(int index = 0) { return slots_[index]; }
  std::string host = "here";
  std::string labels_json = "{}";
  bool draining = false;

 private:
  // The process group of the attempt in this slot is gone: its other slots are idle.
  void Reap(int lead);

  Engine* engine_;
  const std::string worker_id_;
  int64_t epoch_ = 0;
  std::vector<SlotReport> slots_;
  std::map<int, TaskOrder> orders_;
};

// Whether the worker is told to forget this attempt in its slot 0, on the way to a next one
// or to be idle.
bool Forgets(const WorkerDesire& desire, int64_t attempt_id);

TrainerEvent StartEvent(int64_t resume_step = 0);
TrainerEvent RowEvent(int64_t step, double loss, int64_t tokens_per_step = 64);
TrainerEvent CheckpointEvent(int64_t step);
TrainerEvent EndEvent(int64_t step, double final_loss, bool diverged = false);

// An engine over a store of its own, with a clock that stands still.
class EngineWorld : public ::testing::Test {
 protected:
  EngineWorld();
  ~EngineWorld() override;

  void Open();
  // Stops as a process that ends would, and starts again on the same store.
  void Restart();
  void Advance(int64_t ms) {
    clock_.Advance(ms);
    engine_->Poke();
  }
  absl::StatusOr<CreateAnswer> Submit(const std::string& spec, const std::string& request_id = "");
  absl::StatusOr<SweepView> GetSweep(const std::string& name);
  absl::StatusOr<TrialView> GetTrial(const std::string& sweep, int64_t number);
  absl::StatusOr<SweepView> Change(Engine::SweepVerb verb, const std::string& name,
                                   int64_t revision = 0, const std::string& request_id = "");
  std::vector<std::string> EventKinds(const std::string& sweep);
  // Waits until the newest fits of a sweep are what `enough` likes.
  std::vector<FitView> WaitForFits(const std::string& sweep,
                                   const std::function<bool(const std::vector<FitView>&)>& enough);

  ScratchFolder folder_;
  FakeClock clock_;
  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_ENGINE_TESTING_H_
