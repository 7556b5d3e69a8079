#ifndef LOGLOG_WORKER_FILE_THREAD_H_
#define LOGLOG_WORKER_FILE_THREAD_H_

#include <deque>
#include <functional>
#include <thread>

#include "base/mutex.h"

namespace loglog::worker {

// Does one piece of work after the other: what may wait for a slow file system for long
// and nobody waits for. Thread-safe.
class FileThread {
 public:
  FileThread() : thread_([this] { Run(); }) {}
  // Does what is left first.
  ~FileThread();
  FileThread(const FileThread&) = delete;
  FileThread& operator=(const FileThread&) = delete;

  void Post(std::function<void()> work) LOGLOG_EXCLUDES(mutex_);

 private:
  void Run() LOGLOG_EXCLUDES(mutex_);
  // False at the end.
  bool Next(std::function<void()>* work) LOGLOG_EXCLUDES(mutex_);

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ LOGLOG_GUARDED_BY(mutex_) = false;
  std::deque<std::function<void()>> posted_ LOGLOG_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_FILE_THREAD_H_
