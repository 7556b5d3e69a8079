#include "proto/callback_pulse.h"

#include <chrono>

#include "absl/synchronization/mutex.h"

namespace loglog {
namespace {

// Several in the second after which the library's threads would go to sleep.
constexpr std::chrono::milliseconds kBeat(300);

}  // namespace

// Nothing is connected before a call begins, and none does.
CallbackPulse::CallbackPulse()
    : CallbackPulse(
          grpc::CreateChannel("unix:/dev/null/nobody", grpc::InsecureChannelCredentials())) {}

CallbackPulse::CallbackPulse(const std::shared_ptr<grpc::Channel>& channel)
    : stub_(channel), thread_([this] { Run(); }) {}

// Whoever lets go of a channel last joins the threads that run callbacks. That must not be
// one of them, so every call, which holds the channel, is gone before stub_ is.
CallbackPulse::~CallbackPulse() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return calls_.empty(); });
}

void CallbackPulse::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  do {
    Beat();
  } while (!changed_.wait_for(lock, kBeat, [this] { return stopping_; }));
}

void CallbackPulse::Beat() {
  const auto call = calls_.emplace(calls_.end());
  const grpc::Slice nothing("");
  call->request = grpc::ByteBuffer(&nothing, 1);
  call->context.TryCancel();
  stub_.UnaryCall(&call->context, "/loglog.Pulse/Beat", {}, &call->request, &call->response,
                  [this, call](const grpc::Status&) {
                    const std::lock_guard<std::mutex> lock(mutex_);
                    calls_.erase(call);
                    changed_.notify_all();
                  });
}

void StopLookingForDeadlocks() {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace loglog
