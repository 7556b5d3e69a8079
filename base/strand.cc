#include "base/strand.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace loglog {

Strand::Strand(Hooks hooks, int max_group, Thread thread)
    : hooks_(std::move(hooks)), max_group_(max_group), where_(thread) {
  LOGLOG_CHECK(max_group_ > 0);
  if (where_ == Thread::kCaller) return;
  // Run() starts by taking the mutex: thread_id_ is set before anything can ask for it.
  MutexLock lock(mutex_);
  thread_ = std::thread([this] { Run(); });
  thread_id_ = thread_.get_id();
}

Strand::~Strand() { Stop(); }

bool Strand::Post(Work work) {
  {
    MutexLock lock(mutex_);
    if (stopping_) return false;
    queue_.push_back(std::move(work));
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
  while (where_ == Thread::kCaller && WaitForGroup(0, &group)) Execute(&group);
}

bool Strand::RunGroup() {
  LOGLOG_CHECK(where_ == Thread::kCaller);
  std::vector<Work> group;
  {
    MutexLock lock(mutex_);
    group = TakeGroup();
  }
  Execute(&group);
  MutexLock lock(mutex_);
  return !queue_.empty();
}

bool Strand::WaitForGroup(int64_t idle_ms, std::vector<Work>* group) {
  MutexLock lock(mutex_);
  const auto ready = [this]() LOGLOG_REQUIRES(mutex_) { return stopping_ || !queue_.empty(); };
  if (idle_ms >= 0) {
    wake_.WaitFor(mutex_, std::max<int64_t>(idle_ms, 1), ready);
  } else {
    wake_.Wait(mutex_, ready);
  }
  if (stopping_ && queue_.empty()) return false;
  *group = TakeGroup();
  return true;
}

std::vector<Strand::Work> Strand::TakeGroup() {
  const auto end = queue_.begin() + std::min(queue_.size(), static_cast<size_t>(max_group_));
  std::vector<Work> group(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
  queue_.erase(queue_.begin(), end);
  return group;
}

void Strand::Execute(std::vector<Work>* group) {
  std::vector<After> afters;
  afters.reserve(group->size());
  if (hooks_.begin) hooks_.begin();
  for (Work& work : *group) {
    After after = work();
    if (after) afters.push_back(std::move(after));
    work = nullptr;  // what it captured dies on this thread, before anybody is answered
  }
  const absl::Status committed = hooks_.commit ? hooks_.commit() : absl::OkStatus();
  for (const After& after : afters) after(committed);
}

void Strand::Run() {
  std::vector<Work> group;
  int64_t idle_ms = hooks_.idle_ms ? 1 : -1;
  while (WaitForGroup(idle_ms, &group)) {
    Execute(&group);
    group.clear();
    if (hooks_.idle_ms) idle_ms = std::max<int64_t>(hooks_.idle_ms(), 1);
  }
}

}  // namespace loglog
