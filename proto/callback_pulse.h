#ifndef LOGLOG_PROTO_CALLBACK_PULSE_H_
#define LOGLOG_PROTO_CALLBACK_PULSE_H_

#include <grpcpp/generic/generic_stub.h>

#include <condition_variable>
#include <mutex>
#include <thread>

namespace loglog {

// Keeps a process that uses gRPC's callbacks answering at once when it was idle. The
// threads that run callbacks (gRPC 1.51) sleep for 100 ms after a second without any, all
// of them at a time if it comes to that, and what arrives meanwhile waits. A call that is
// cancelled before it begins, three times a second, is a callback without any traffic.
// One for a process that serves or waits for callbacks; thread-safe.
class CallbackPulse {
 public:
  CallbackPulse();
  ~CallbackPulse();
  CallbackPulse(const CallbackPulse&) = delete;
  CallbackPulse& operator=(const CallbackPulse&) = delete;

 private:
  void Run();
  void Beat();  // mutex_ is held

  grpc::GenericStub stub_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int calls_ = 0;  // under mutex_, as what follows: whose callback has not run yet
  bool stopping_ = false;
  std::thread thread_;
};

// gRPC takes Abseil's locks, and Debian's build of them looks for deadlocks each time, at
// the cost of processor time that a busy coordinator notices. Off from here on; call first.
void StopLookingForDeadlocks();

}  // namespace loglog

#endif  // LOGLOG_PROTO_CALLBACK_PULSE_H_
