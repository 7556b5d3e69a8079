#ifndef LOGLOG_WORKER_SIGNAL_THREAD_H_
#define LOGLOG_WORKER_SIGNAL_THREAD_H_

#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>

namespace loglog::worker {

// Blocks what asks a daemon to leave, in this thread and those it starts, so before any
// other starts: SIGTERM, SIGINT, and SIGUSR1 and SIGUSR2, which batch systems send some
// time before they kill.
sigset_t BlockLeaveSignals();

// Where the blocked signals arrive, one after the other, until it is destroyed.
class SignalThread {
 public:
  // `on_signal` gets how many there were, this one included; on the object's own thread.
  SignalThread(const sigset_t& signals, std::function<void(int count)> on_signal);
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_SIGNAL_THREAD_H_
