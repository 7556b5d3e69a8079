#include "coordinator/listen_address.h"

#include <gmock/gmock.h>

#include <string>

namespace loglog {
namespace {

using ::testing::HasSubstr;

TEST(ListenAddressTest, EachAddressHasOneSpelling) {
  for (const char* good : {"127.0.0.1:7070", "[::1]:7070", "localhost:0", "0.0.0.0:65535",
                           "gpu-host-3.site:80", "unix:/tmp/socket"}) {
    const auto address = ParseListenAddress(good);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->Text(), good);
  }
  for (const auto& [bad, why] :
       {std::pair("localhost", "the port is missing"), std::pair(":80", "the host is missing"),
        std::pair("[]:80", "the host is missing"), std::pair("::1:80", "belongs in brackets"),
        std::pair("[localhost]:80", "belongs in brackets"),
        std::pair("localhost:65536", "'65536' is no port"),
        std::pair("localhost:-1", "'-1' is no port"),
        std::pair("localhost:+80", "'+80' is no port"),
        std::pair("localhost: 80", "' 80' is no port"),
        std::pair("localhost:080", "'080' is no port"), std::pair("localhost:", "'' is no port"),
        std::pair("unix:", "the path is missing")}) {
    const auto address = ParseListenAddress(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(address.status())) << bad;
    EXPECT_THAT(std::string(address.status().message()), HasSubstr(why));
  }
  // Half a pair of brackets is part of the host, which no host has.
  EXPECT_EQ(ParseListenAddress("[localhost:80")->host, "[localhost");
}

TEST(ListenAddressTest, OnlyLoopbackIsLocal) {
  for (const char* local : {"127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "localhost:1", "unix:/a"}) {
    EXPECT_TRUE(ParseListenAddress(local)->is_local()) << local;
  }
  for (const char* wide :
       {"0.0.0.0:1", "[::]:1", "127.evil.example:1", "10.0.0.1:1", "localhost.example:1"}) {
    EXPECT_FALSE(ParseListenAddress(wide)->is_local()) << wide;
  }
}

}  // namespace
}  // namespace loglog
