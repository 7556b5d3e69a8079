#include "base/io_guard.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/file.h"

namespace loglog {
namespace {

TEST(IoGuardTest, AllowsOutsideAndOnOtherThreads) {
  CheckIoAllowed("a file");
  const NoIoScope scope;
  std::thread([] { CheckIoAllowed("a file"); }).join();
}

TEST(IoGuardDeathTest, T14_external_io_in_a_transaction) {
  EXPECT_DEATH(
      {
        const NoIoScope scope;
        ReadFile("/etc/hostname").IgnoreError();
      },
      "reading a file within a write transaction");
}

}  // namespace
}  // namespace loglog
