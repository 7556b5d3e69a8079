#include "worker/file_thread.h"

#include <utility>

namespace loglog::worker {

FileThread::~FileThread() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void FileThread::Post(std::function<void()> work) {
  MutexLock lock(mutex_);
  posted_.push_back(std::move(work));
  changed_.NotifyAll();
}

void FileThread::Run() {
  for (std::function<void()> work; Next(&work);) work();
}

bool FileThread::Next(std::function<void()>* work) {
  MutexLock lock(mutex_);
  changed_.Wait(mutex_, [this]() LOGLOG_REQUIRES(mutex_) { return stopping_ || !posted_.empty(); });
  if (posted_.empty()) return false;
  *work = std::move(posted_.front());
  posted_.pop_front();
  return true;
}

}  // namespace loglog::worker
