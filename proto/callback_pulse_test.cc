#include "proto/callback_pulse.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>

namespace loglog {
namespace {

// Had a callback the last hold on the channel, one of the library's threads would wait for
// itself, and free what a process that ends frees too.
TEST(CallbackPulseTest, AtItsEndNoCallHoldsTheChannel) {
  for (int round = 0; round < 200; ++round) {
    const std::shared_ptr<grpc::Channel> channel =
        grpc::CreateChannel("unix:/dev/null/nobody", grpc::InsecureChannelCredentials());
    { const CallbackPulse pulse(channel); }
    ASSERT_EQ(channel.use_count(), 1) << "after round " << round;
  }
}

}  // namespace
}  // namespace loglog
