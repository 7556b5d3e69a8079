#include "worker/signal_thread.h"

#include <pthread.h>

#include <utility>

namespace loglog::worker {

sigset_t BlockLeaveSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

SignalThread::SignalThread(const sigset_t& signals, std::function<void(int count)> on_signal)
    : thread_([this, signals, on_signal = std::move(on_signal)] {
        // Each of the signals may come from outside, so none of them can mean the end.
        for (int count = 0, signal = 0; sigwait(&signals, &signal) == 0 && !ending_;) {
          on_signal(++count);
        }
      }) {}

SignalThread::~SignalThread() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGUSR2);
  thread_.join();
}

}  // namespace loglog::worker
