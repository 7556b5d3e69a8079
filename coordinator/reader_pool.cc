#include "coordinator/reader_pool.h"

#include <utility>

#include "base/status.h"

namespace loglog {
namespace {

constexpr size_t kQueuedMax = 10'000;

}  // namespace

absl::StatusOr<std::unique_ptr<ReaderPool>> ReaderPool::Open(const std::string& path, int threads) {
  std::unique_ptr<ReaderPool> pool(new ReaderPool());
  for (int i = 0; i < threads; ++i) {
    LOGLOG_ASSIGN_OR_RETURN(std::unique_ptr<ReadStore> store, ReadStore::Open(path));
    pool->stores_.push_back(std::move(store));
  }
  for (const std::unique_ptr<ReadStore>& store : pool->stores_) {
    pool->threads_.emplace_back([pool = pool.get(), &store = *store] { pool->Run(store); });
  }
  return pool;
}

ReaderPool::~ReaderPool() { Stop(); }

bool ReaderPool::Post(Job job) {
  {
    MutexLock lock(mutex_);
    if (stopping_ || queue_.size() >= kQueuedMax) return false;
    queue_.push_back(std::move(job));
  }
  wake_.NotifyOne();
  return true;
}

void ReaderPool::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
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
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    job(store);
  }
}

}  // namespace loglog
