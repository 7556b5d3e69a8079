#include "base/strand.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace loglog {

Strand::Strand(Hooks hooks, int max_group, Thread thread)
    : hooks_(std::move(hooks)), max_group_(max_group), where_(thread) {
  LOGLOG_CHECK(max_group_ > 0);
}

void Strand::Start() {
  if (where_ == Thread::kCaller) return;
  // Run() starts by taking the mutex: thread_id_ is set before anything can ask for it.
  MutexLock lock(mutex_);
  thread_ = std::thread([this] { Run(); });
  thread_id_ = thread_.get_id();
}

Strand::~Strand() { Stop(); }

bool Strand::Post(Work work, Lane lane) {
  {
    MutexLock lock(mutex_);
    if (stopping_) return false;
    (lane == Lane::kUrgent ? urgent_ : patient_).push_back(std::move(work));
  }
  wake_.NotifyOne();
  return true;
}

void Strand::Stop() {
  LOGLOG_CHECK(!InStrand());
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  std::vector<Work> group;
  while (WaitForGroup(0, &group)) Execute(&group);
}

bool Strand::RunGroup() {
  LOGLOG_CHECK(where_ == Thread::kCaller);
  std::vector<Work> urgent;
  {
    MutexLock lock(mutex_);
    urgent = TakeUrgent();
  }
  Execute(&urgent);
  MutexLock lock(mutex_);
  return !urgent_.empty() || !patient_.empty();
}

bool Strand::WaitForGroup(int64_t idle_ms, std::vector<Work>* urgent) {
  MutexLock lock(mutex_);
  const auto queued = [this]()
                          LOGLOG_REQUIRES(mutex_) { return !urgent_.empty() || !patient_.empty(); };
  const auto ready = [&]() LOGLOG_REQUIRES(mutex_) { return stopping_ || queued(); };
  if (idle_ms >= 0) {
    wake_.WaitFor(mutex_, std::max<int64_t>(idle_ms, 1), ready);
  } else {
    wake_.Wait(mutex_, ready);
  }
  if (stopping_ && !queued()) return false;
  *urgent = TakeUrgent();
  return true;
}

std::vector<Strand::Work> Strand::TakeUrgent() {
  const auto end = urgent_.begin() + std::min(urgent_.size(), static_cast<size_t>(max_group_));
  std::vector<Work> taken(std::make_move_iterator(urgent_.begin()), std::make_move_iterator(end));
  urgent_.erase(urgent_.begin(), end);
  return taken;
}

Strand::Work Strand::TakePatient() {
  MutexLock lock(mutex_);
  if (patient_.empty()) return nullptr;
  Work work = std::move(patient_.front());
  patient_.pop_front();
  return work;
}

void Strand::Execute(std::vector<Work>* urgent) {
  std::vector<After> afters;
  afters.reserve(urgent->size());
  if (hooks_.begin) hooks_.begin();
  const auto run = [&afters](Work* work) {
    After after = (*work)();
    if (after) afters.push_back(std::move(after));
    *work = nullptr;  // what it captured dies on this thread, before anybody is answered
  };
  for (Work& work : *urgent) run(&work);
  // At least one, or what is urgent could keep the others waiting for ever.
  const int64_t begin_ms = hooks_.now_ms ? hooks_.now_ms() : 0;
  for (int i = 0; i < max_group_; ++i) {
    if (i > 0 && hooks_.now_ms && hooks_.now_ms() - begin_ms >= kPatientMs) break;
    Work work = TakePatient();
    if (work == nullptr) break;
    run(&work);
  }
  const absl::Status committed = hooks_.commit ? hooks_.commit() : absl::OkStatus();
  for (const After& after : afters) after(committed);
}

void Strand::Run() {
  std::vector<Work> urgent;
  int64_t idle_ms = hooks_.idle_ms ? 1 : -1;
  while (WaitForGroup(idle_ms, &urgent)) {
    Execute(&urgent);
    urgent.clear();
    if (hooks_.idle_ms) idle_ms = std::max<int64_t>(hooks_.idle_ms(), 1);
  }
}

}  // namespace loglog
