#include "base/subprocess.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr int64_t kLongMs = 20'000;

// Runs a shell command whose standard output the test reads.
class Shell {
 public:
  explicit Shell(const std::string& command, std::vector<std::string> env = {}, int fd3 = -1) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    read_fd_ = ends[0];
    auto process = Subprocess::Spawn({.argv = {"/bin/sh", "-c", command},
                                      .env = std::move(env),
                                      .stdout_fd = ends[1],
                                      .fd3 = fd3});
    close(ends[1]);
    EXPECT_TRUE(process.ok()) << process.status();
    if (process.ok()) process_ = *std::move(process);
  }
  ~Shell() { close(read_fd_); }

  std::string ReadLine() {
    std::string line;
    char c = 0;
    while (read(read_fd_, &c, 1) == 1 && c != '\n') line.push_back(c);
    return line;
  }
  std::string ReadAll() {
    std::string all;
    char buffer[4096];
    for (ssize_t got; (got = read(read_fd_, buffer, sizeof(buffer))) > 0;) all.append(buffer, got);
    return all;
  }
  Subprocess& process() { return *process_; }

 private:
  int read_fd_ = -1;
  std::unique_ptr<Subprocess> process_;
};

TEST(SubprocessTest, ReportsCodesAndSignals) {
  ExitStatus status;
  Shell seven("exit 7");
  ASSERT_TRUE(seven.process().WaitReaped(kLongMs, &status));
  EXPECT_EQ(status.exit_code, 7);
  EXPECT_EQ(status.signal, 0);
  Shell killed("kill -9 $$");
  ASSERT_TRUE(killed.process().WaitReaped(kLongMs, &status));
  EXPECT_EQ(status.exit_code, -1);
  EXPECT_EQ(status.signal, SIGKILL);
}

TEST(SubprocessTest, ProgramThatIsNotThere) {
  const auto process = Subprocess::Spawn({.argv = {"/no/such/program"}});
  EXPECT_EQ(process.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(process.status().message()), HasSubstr("/no/such/program"));
}

TEST(SubprocessTest, OwnSessionDefaultSignalsAndOnlyItsDescriptors) {
  const int leaked = open("/dev/null", O_RDONLY);  // without O_CLOEXEC on purpose
  signal(SIGUSR1, SIG_IGN);
  int bell[2];
  ASSERT_EQ(pipe2(bell, O_CLOEXEC), 0);
  Shell shell(
      "echo x >&3; ls /proc/self/fd | wc -l; cut -d' ' -f6 /proc/$$/stat; grep SigIgn "
      "/proc/$$/status",
      {}, bell[1]);
  signal(SIGUSR1, SIG_DFL);
  close(bell[1]);
  close(leaked);
  // 0 to 3, and the folder that ls reads.
  EXPECT_EQ(shell.ReadLine(), "5");
  int session = 0;
  EXPECT_TRUE(absl::SimpleAtoi(shell.ReadLine(), &session));
  EXPECT_EQ(session, shell.process().pid());
  // Signals 1 to 31; the C library keeps two above for itself.
  EXPECT_THAT(shell.ReadLine(), MatchesRegex("SigIgn:\t[0-9a-f]{8}[08]0000000"));
  char byte = 0;
  EXPECT_EQ(read(bell[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
  close(bell[0]);
}

TEST(SubprocessTest, EnvironmentIsOverriddenAndWordsReachNoShell) {
  setenv("LOGLOG_TEST_A", "old", 1);
  Shell shell("echo $LOGLOG_TEST_A $LOGLOG_TEST_B", {"LOGLOG_TEST_A=new", "LOGLOG_TEST_B=$(id)"});
  unsetenv("LOGLOG_TEST_A");
  EXPECT_EQ(shell.ReadLine(), "new $(id)");
}

TEST(SubprocessTest, StoppedChildIsKilled) {
  Shell shell("echo ready; kill -STOP $$");
  EXPECT_EQ(shell.ReadLine(), "ready");
  shell.process().KillGroup();
  ExitStatus status;
  ASSERT_TRUE(shell.process().WaitReaped(kLongMs, &status));
  EXPECT_EQ(status.signal, SIGKILL);
}

// What a dead child left in its group is killed and reaped before TryReap says so,
// orphans of orphans and ones that ignore signals included.
TEST(SubprocessTest, DoubleForkIsReapedWithTheGroup) {
  BecomeSubreaper();
  Shell shell("( ( trap '' TERM HUP; sh -c 'echo $$; exec sleep 1000' ) & ) ; exit 3");
  int orphan = 0;
  ASSERT_TRUE(absl::SimpleAtoi(shell.ReadLine(), &orphan));
  ExitStatus status;
  ASSERT_TRUE(shell.process().WaitReaped(kLongMs, &status));
  EXPECT_EQ(status.exit_code, 3);
  EXPECT_EQ(kill(orphan, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(SubprocessTest, DestructorLeavesNobody) {
  BecomeSubreaper();
  pid_t pid = 0;
  {
    Shell shell("trap '' TERM; echo ready; while :; do sleep 1000; done");
    EXPECT_EQ(shell.ReadLine(), "ready");
    pid = shell.process().pid();
    shell.process().Signal(SIGTERM);
    ExitStatus status;
    EXPECT_FALSE(shell.process().TryReap(&status));
  }
  EXPECT_EQ(kill(-pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(SubprocessTest, StartTicksTellProcessesApart) {
  const auto mine = ProcessStartTicks(getpid());
  ASSERT_TRUE(mine.ok()) << mine.status();
  EXPECT_GT(*mine, 0);
  EXPECT_EQ(ProcessStartTicks(getppid()).ok(), true);
  Shell shell("exit 0");
  ExitStatus status;
  const pid_t pid = shell.process().pid();
  ASSERT_TRUE(shell.process().WaitReaped(kLongMs, &status));
  EXPECT_EQ(ProcessStartTicks(pid).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace loglog
