#ifndef LOGLOG_PROTO_CALLBACK_PULSE_H_
#define LOGLOG_PROTO_CALLBACK_PULSE_H_

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <list>
#include <memory>
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
  // Calls over this channel, which is never connected and held by nothing of this object
  // once it has ended.
  explicit CallbackPulse(const std::shared_ptr<grpc::Channel>& channel);
  ~CallbackPulse();
  CallbackPulse(const CallbackPulse&) = delete;
  CallbackPulse& operator=(const CallbackPulse&) = delete;

 private:
  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer response;
  };

  void Run();
  void Beat();  // mutex_ is held

  grpc::GenericStub stub_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Call> calls_;  // under mutex_, as what follows: whose callback has not run yet
  bool stopping_ = false;
  std::thread thread_;
};

// gRPC takes Abseil's locks, and Debian's build of them looks for deadlocks each time, at
// the cost of processor time that a busy coordinator notices. Off from here on; call first.
void StopLookingForDeadlocks();

}  // namespace loglog

#endif  // LOGLOG_PROTO_CALLBACK_PULSE_H_
