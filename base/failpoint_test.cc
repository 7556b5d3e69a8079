#include "base/failpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "base/subprocess.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

// This program again, up to one test, at whose end it is killed.
ExitStatus RunChild(const std::string& counts) {
  auto child = Subprocess::Spawn(
      {.argv = {"/proc/self/exe", "--gtest_filter=FailpointTest.HandlersAreToldAndTakenBack"},
       .env = {"LOGLOG_FAILPOINT_COUNTS=" + counts, "LOGLOG_DIE_AT_THE_END=1"}});
  ExitStatus status;
  EXPECT_TRUE(child.ok()) << child.status();
  EXPECT_TRUE((*child)->WaitReaped(60'000, &status));
  return status;
}

std::string Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

int64_t CountOf(const std::string& file, const std::string& name) {
  const size_t at = file.find(name + '\0');
  int64_t count = -1;
  if (at != std::string::npos) std::memcpy(&count, &file[at - sizeof(count)], sizeof(count));
  return count;
}

TEST(FailpointTest, T11_counts_are_kept_when_processes_are_killed) {
  std::string path = ::testing::TempDir() + "loglog-counts-XXXXXX";
  const int fd = mkstemp(path.data());
  ASSERT_GE(fd, 0);
  close(fd);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(RunChild(path).signal, SIGKILL);
  const std::string file = Slurp(path);
  EXPECT_EQ(file.size(), FailpointNames().size() * 64);
  EXPECT_EQ(CountOf(file, "engine.reload"), 6);
  EXPECT_EQ(CountOf(file, "lease.expired"), 0);
  unlink(path.c_str());
  EXPECT_EQ(RunChild("/nonexistent/counts").signal, SIGABRT);
}

TEST(FailpointTest, HandlersAreToldAndTakenBack) {
  std::vector<std::string> reached;
  SetFailpointHandler([&](const char* name) { reached.emplace_back(name); });
  LOGLOG_FAILPOINT("engine.reload");
  SetFailpointHandler(nullptr);
  LOGLOG_FAILPOINT("engine.reload");
  EXPECT_EQ(reached, std::vector<std::string>{"engine.reload"});
  if (std::getenv("LOGLOG_DIE_AT_THE_END") != nullptr) kill(getpid(), SIGKILL);
}

TEST(FailpointTest, NamesAreSortedAndWrongOnesAreNamed) {
  EXPECT_TRUE(std::is_sorted(FailpointNames().begin(), FailpointNames().end()));
  EXPECT_DEATH(HitFailpoint("no.such.place"), "");
  setenv("LOGLOG_FAILPOINT", "no.such.place", 1);
  EXPECT_THAT(std::string(ArmFailpointFromEnvironment().message()), HasSubstr("engine.reload"));
  setenv("LOGLOG_FAILPOINT", "engine.reload:0", 1);
  EXPECT_THAT(std::string(ArmFailpointFromEnvironment().message()), HasSubstr("'0' is no count"));
  unsetenv("LOGLOG_FAILPOINT");
  EXPECT_TRUE(ArmFailpointFromEnvironment().ok());
}

}  // namespace
}  // namespace loglog
