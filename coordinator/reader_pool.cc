#include "coordinator/reader_pool.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace loglog {
namespace {

constexpr char kStopping[] = "the coordinator is stopping; call again";

}  // namespace

absl::StatusOr<std::unique_ptr<ReaderPool>> ReaderPool::Open(const std::string& path, int threads) {
  std::unique_ptr<ReaderPool> pool(new ReaderPool());
  for (int i = 0; i < std::max(threads, 1); ++i) {
    LOGLOG_ASSIGN_OR_RETURN(std::unique_ptr<ReadStore> store, ReadStore::Open(path));
    pool->stores_.push_back(std::move(store));
  }
  for (int i = 0; i < threads; ++i) {
    const ReadStore& store = *pool->stores_[i];
    pool->threads_.emplace_back([pool = pool.get(), &store] { pool->Run(store); });
  }
  return pool;
}

ReaderPool::~ReaderPool() { Stop(); }

void ReaderPool::Post(Job job, Dropped dropped) {
  {
    MutexLock lock(mutex_);
    if (!stopping_) {
      queue_.emplace_back(std::move(job), std::move(dropped));
      wake_.NotifyOne();
      return;
    }
  }
  dropped(absl::UnavailableError(kStopping));
}

bool ReaderPool::RunQueued() {
  std::deque<std::pair<Job, Dropped>> queue;
  {
    MutexLock lock(mutex_);
    queue.swap(queue_);
  }
  for (const auto& [job, dropped] : queue) job(*stores_.front());
  return !queue.empty();
}

void ReaderPool::DropQueued() {
  std::deque<std::pair<Job, Dropped>> queue;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    queue.swap(queue_);
  }
  wake_.NotifyAll();
  for (const auto& [job, dropped] : queue) dropped(absl::UnavailableError(kStopping));
}

void ReaderPool::Stop() {
  DropQueued();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void ReaderPool::Run(const ReadStore& store) {
  while (true) {
    Job job;
    {
      MutexLock lock(mutex_);
      wake_.Wait(mutex_, [this]() LOGLOG_REQUIRES(mutex_) { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      job = std::move(queue_.front().first);
      queue_.pop_front();
    }
    job(store);
  }
}

}  // namespace loglog
