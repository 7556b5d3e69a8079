#ifndef LOGLOG_BASE_MUTEX_H_
#define LOGLOG_BASE_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

// Clang's thread-safety annotations; nothing elsewhere.
#if defined(__clang__)
#define LOGLOG_THREAD_ATTR(x) __attribute__((x))
#else
#define LOGLOG_THREAD_ATTR(x)
#endif
#define LOGLOG_GUARDED_BY(m) LOGLOG_THREAD_ATTR(guarded_by(m))
#define LOGLOG_REQUIRES(...) LOGLOG_THREAD_ATTR(requires_capability(__VA_ARGS__))
#define LOGLOG_EXCLUDES(...) LOGLOG_THREAD_ATTR(locks_excluded(__VA_ARGS__))

namespace loglog {

// std::mutex with annotations. absl::Mutex is not used: ThreadSanitizer cannot see
// through the distribution's build of it.
class LOGLOG_THREAD_ATTR(capability("mutex")) Mutex {
 public:
  void lock() LOGLOG_THREAD_ATTR(acquire_capability()) { mutex_.lock(); }
  void unlock() LOGLOG_THREAD_ATTR(release_capability()) { mutex_.unlock(); }
  std::mutex& native() { return mutex_; }

 private:
  std::mutex mutex_;
};

class LOGLOG_THREAD_ATTR(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) LOGLOG_THREAD_ATTR(acquire_capability(mutex)) : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() LOGLOG_THREAD_ATTR(release_capability()) { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits on a Mutex that the caller holds; it is held again on return.
class CondVar {
 public:
  template <typename Predicate>
  void Wait(Mutex& mutex, Predicate done) LOGLOG_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.native(), std::adopt_lock);
    cv_.wait(lock, done);
    lock.release();
  }
  // Returns what `done` says after at most `timeout_ms` milliseconds.
  template <typename Predicate>
  bool WaitFor(Mutex& mutex, int64_t timeout_ms, Predicate done) LOGLOG_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.native(), std::adopt_lock);
    const bool result = cv_.wait_for(lock, std::chrono::milliseconds(timeout_ms), done);
    lock.release();
    return result;
  }
  void NotifyOne() { cv_.notify_one(); }
  void NotifyAll() { cv_.notify_all(); }

 private:
  std::condition_variable cv_;
};

}  // namespace loglog

#endif  // LOGLOG_BASE_MUTEX_H_
