#ifndef LOGLOG_WORKER_SUPERVISOR_TESTING_H_
#define LOGLOG_WORKER_SUPERVISOR_TESTING_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "worker/supervisor.h"
#include "worker/worker_testing.h"

namespace loglog::worker {

using State = Slot::State;

inline constexpr char kStore[] = "5eed";

// Stands in for the metric stream: acknowledges everything, remembers the count of
// events of each attempt.
class AckingStream {
 public:
  explicit AckingStream(Outbox* outbox) : outbox_(outbox), thread_([this] { Run(); }) {}
  ~AckingStream() {
    stopping_ = true;
    outbox_->Interrupt();
    thread_.join();
  }
  int64_t last_seq(int64_t attempt_id) {
    MutexLock lock(mutex_);
    const auto found = last_seq_.find(attempt_id);
    return found == last_seq_.end() ? -1 : found->second;
  }
  void FenceFrom(int64_t attempt_id) { fenced_ = attempt_id; }

 private:
  void Run() {
    while (!stopping_) {
      EventBatch batch;
      if (!outbox_->NextBatch(50, &batch)) continue;
      int64_t last_seq = -1;
      {
        MutexLock lock(mutex_);
        auto [stored, added] = last_seq_.emplace(batch.attempt_id, -1);
        if (!batch.events.empty()) {
          EXPECT_EQ(batch.first_seq, stored->second + 1);
          stored->second += static_cast<int64_t>(batch.events.size());
        }
        last_seq = stored->second;
      }
      outbox_->Acknowledge(batch.attempt_id, last_seq, batch.attempt_id == fenced_);
    }
  }
  Outbox* const outbox_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int64_t> fenced_ = 0;
  Mutex mutex_;
  std::map<int64_t, int64_t> last_seq_ LOGLOG_GUARDED_BY(mutex_);
  std::thread thread_;
};

// A file that stops whoever reads it, as one on a file system that hangs.
class StuckFile {
 public:
  explicit StuckFile(const std::string& path) : path_(path) {
    EXPECT_TRUE(RemoveTree(path).ok());
    EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
  }
  ~StuckFile() { Release(); }
  // Somebody is held up by it; false after kLongMs.
  bool WaitForReader() {
    return Eventually([this] {
      fd_ = open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
      return fd_ >= 0;
    });
  }
  void Release() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  const std::string path_;
  int fd_ = -1;
};

// A process by its descriptor, which stays with it whoever reaps it.
class WatchedProcess {
 public:
  explicit WatchedProcess(pid_t pid) : fd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {
    EXPECT_GE(fd_, 0);
  }
  ~WatchedProcess() { close(fd_); }
  // False after `timeout_ms`.
  bool Ends(int64_t timeout_ms = kLongMs) {
    pollfd ended = {.fd = fd_, .events = POLLIN, .revents = 0};
    return poll(&ended, 1, static_cast<int>(timeout_ms)) == 1;
  }

 private:
  const int fd_;
};

class SupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override { StartDaemon(LOGLOG_FAKE_TRAINER); }
  void TearDown() override { StopDaemon(); }

  void StartDaemon(const std::string& trainer) {
    auto run_dir = RunDir::Open({.root = root_});
    ASSERT_TRUE(run_dir.ok()) << run_dir.status();
    run_dir_ = *std::move(run_dir);
    supervisor_ =
        std::make_unique<Supervisor>(Supervisor::Options{.run_dir = run_dir_.get(),
                                                         .trainer = trainer,
                                                         .devices = {Device(), Device()},
                                                         .stop_grace_ms = 300,
                                                         .health_period_ms = 20,
                                                         .read_gpus = read_gpus_,
                                                         .gpu_period_ms = 20,
                                                         .free_bytes_min = 0,
                                                         .survivors = survivors_,
                                                         .clock = daemon_clock_,
                                                         .outbox = {.flush_ms = 5, .poll_ms = 50}});
    EXPECT_EQ(supervisor_->SetStore(kStore), absl::OkStatus());
  }
  void StopDaemon() {
    stream_.reset();
    supervisor_.reset();
    run_dir_.reset();
  }
  void Upload() { stream_ = std::make_unique<AckingStream>(&supervisor_->outbox()); }

  void Apply(const SlotWish& wish, int64_t lease_deadline_ms = kNever) {
    supervisor_->Apply({wish}, {}, false, lease_deadline_ms);
  }
  void Run(int64_t attempt_id, int64_t steps, int slot = 0) {
    Apply({.slot = slot,
           .kind = SlotEvent::Kind::kRun,
           .order = MakeOrder(attempt_id, /*task_id=*/attempt_id, steps)});
  }
  void Wish(SlotEvent::Kind kind, int64_t attempt_id, int slot = 0) {
    Apply({.slot = slot, .kind = kind, .attempt_id = attempt_id});
  }
  // Slot 0 leads, slot 1 follows.
  void RunGang(int64_t attempt_id, int64_t steps) {
    TaskOrder order = MakeOrder(attempt_id, /*task_id=*/attempt_id, steps);
    order.slots = {0, 1};
    Apply({.slot = 0, .kind = SlotEvent::Kind::kRun, .order = order});
  }
  SlotView SlotNow(int slot = 0) { return supervisor_->View().slots[slot]; }
  bool Becomes(State state, int slot = 0) {
    return Eventually([&] { return SlotNow(slot).state == state; });
  }
  Outcome Finish(int slot = 0) {
    EXPECT_TRUE(Becomes(State::kFinished, slot));
    return SlotNow(slot).outcome;
  }
  std::string Dir(int64_t attempt_id) { return run_dir_->AttemptDir(kStore, attempt_id); }
  std::string Events(int64_t attempt_id) {
    const auto text = ReadFile(Dir(attempt_id) + "/events.jsonl");
    return text.ok() ? *text : "";
  }
  // Waits until the trainer has written something that holds `text`.
  void WaitForEvent(int64_t attempt_id, const std::string& text) {
    ASSERT_TRUE(Eventually([&] { return absl::StrContains(Events(attempt_id), text); })) << text;
  }
  pid_t Pid(int64_t attempt_id) {
    EXPECT_TRUE(Eventually([&] { return PathExists(Dir(attempt_id) + "/pid"); }));
    int pid = 0;
    const std::string text = *ReadFile(Dir(attempt_id) + "/pid");
    EXPECT_TRUE(absl::SimpleAtoi(text.substr(0, text.find(' ')), &pid));
    return pid;
  }
  static bool GroupIsGone(pid_t pid) { return kill(-pid, 0) != 0 && errno == ESRCH; }

  bool Gone(int64_t attempt_id) {
    return Eventually([&] { return !PathExists(Dir(attempt_id)); });
  }
  bool Unhealthy(const std::string& text) {
    return Eventually([&] { return absl::StrContains(supervisor_->View().unhealthy, text); });
  }

  TempDir dir_;
  std::string root_ = dir_.path() + "/run";
  FakeClock clock_;
  Clock* daemon_clock_ = Clock::Real();
  std::vector<Survivor> survivors_;
  std::function<absl::StatusOr<std::vector<GpuReading>>()> read_gpus_;
  std::unique_ptr<RunDir> run_dir_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<AckingStream> stream_;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_SUPERVISOR_TESTING_H_
