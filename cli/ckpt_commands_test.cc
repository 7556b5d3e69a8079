// What is asked of loglog-trainer about checkpoints, and what becomes of its answers.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "cli/binaries.h"
#include "cli/commands_testing.h"
#include "nlohmann/json.hpp"

namespace loglog::cli {
namespace {

using ::testing::HasSubstr;

// A process that ended and that nobody has waited for yet does not run.
bool Runs(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::stringstream text;
  text << file.rdbuf();
  const std::string stat = text.str();
  const size_t bracket = stat.rfind(')');
  return bracket != std::string::npos && stat.substr(bracket, 3) != ") Z";
}

class CkptCommandsTest : public CommandsTest {
 protected:
  // A trainer that writes its arguments to a file and does as the script says.
  void PutTrainer(const std::string& script) {
    const std::string path = WriteFile(
        "loglog-trainer", absl::StrCat("#!/bin/sh\necho \"$@\" >", asked_path_, "\n", script));
    ASSERT_EQ(chmod(path.c_str(), 0755), 0);
    io_.env["LOGLOG_BIN_DIR"] = testing::TempDir();
  }
  std::string Asked() { return ReadFile(asked_path_).value(); }

  // Of this test alone.
  const std::string asked_path_ =
      absl::StrCat(testing::TempDir(), "/asked-",
                   testing::UnitTest::GetInstance()->current_test_info()->name(), ".txt");
};

TEST_F(CkptCommandsTest, ExportShowsWhatWasWritten) {
  PutTrainer("echo '{\"folder\":\"llama\",\"step\":500,\"parameters\":23712}'");
  EXPECT_EQ(Run({"ckpt", "export", "c/step-00000500", "--to", "hf", "--out", "llama", "--member",
                 "2", "-o", "json"}),
            0)
      << err();
  EXPECT_EQ(Asked(), "export c/step-00000500 --out llama --member 2 --json\n");
  const nlohmann::json made = nlohmann::json::parse(out());
  EXPECT_EQ(made["step"], 500);
  EXPECT_EQ(made["parameters"], 23712);
  EXPECT_EQ(Run({"ckpt", "export", "c", "--out", "llama"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("llama"));
  EXPECT_THAT(err(), HasSubstr("LlamaForCausalLM.from_pretrained"));
}

// Ctrl-C ends loglog alone: the trainer has a session of its own.
TEST_F(CkptCommandsTest, ATrainerDoesNotOutliveTheCommand) {
  const std::string pid_path = testing::TempDir() + "/trainer.pid";
  std::filesystem::remove(pid_path);
  PutTrainer(absl::StrCat("echo $$ >", pid_path, ".new\nmv ", pid_path, ".new ", pid_path,
                          "\nexec sleep 600"));
  const auto loglog = Subprocess::Spawn(
      {.argv = {SelfPath(), "ckpt", "verify", "c"},
       .env = {absl::StrCat("LOGLOG_BIN_DIR=", io_.env["LOGLOG_BIN_DIR"]), "HOME=/nonexistent"}});
  ASSERT_TRUE(loglog.ok()) << loglog.status();
  const auto within_30_s = [](const std::function<bool()>& holds) {
    for (int i = 0; i < 3000 && !holds(); ++i) absl::SleepFor(absl::Milliseconds(10));
    return holds();
  };
  ASSERT_TRUE(within_30_s([&] { return std::filesystem::exists(pid_path); }));
  pid_t pid = 0;
  std::ifstream(pid_path) >> pid;
  ASSERT_GT(pid, 0);
  ASSERT_TRUE(ProcessStartTicks(pid).ok());
  (*loglog)->Signal(SIGINT);
  const bool gone = within_30_s([&] { return !Runs(pid); });
  EXPECT_TRUE(gone);
  if (!gone) kill(pid, SIGKILL);
}

TEST_F(CkptCommandsTest, RefusalsAndDamageKeepTheirReason) {
  PutTrainer("echo noise\necho 'loglog-trainer: model.qk_norm: Llama has none' >&2\nexit 20");
  EXPECT_EQ(Run({"ckpt", "export", "c", "--out", "llama"}), 1);
  EXPECT_THAT(err(), HasSubstr("model.qk_norm: Llama has none"));
  PutTrainer("echo 'loglog-trainer: c: is cut short' >&2\nexit 1");
  EXPECT_EQ(Run({"ckpt", "verify", "c"}), 1);
  EXPECT_EQ(Asked(), "verify c --json\n");
  EXPECT_THAT(err(), HasSubstr("c: is cut short"));
  PutTrainer("kill -9 $$");
  EXPECT_EQ(Run({"ckpt", "verify", "c"}), 1);
  EXPECT_THAT(err(), HasSubstr("was ended by signal 9"));
  PutTrainer("echo done");
  EXPECT_EQ(Run({"ckpt", "verify", "c"}), 1);
  EXPECT_THAT(err(), HasSubstr("use programs of one version"));
}

TEST_F(CkptCommandsTest, VerifyShowsTheStep) {
  PutTrainer(
      "echo '{\"checkpoint\":\"c\",\"step\":7,\"tensors\":41,\"trainer_version\":\"0.1.0\"}'");
  EXPECT_EQ(Run({"ckpt", "verify", "c", "-o", "json"}), 0) << err();
  EXPECT_EQ(nlohmann::json::parse(out())["tensors"], 41);
}

TEST_F(CkptCommandsTest, WrongUsageAsksNobody) {
  PutTrainer("exit 0");
  EXPECT_EQ(Run({"ckpt", "export", "c"}), 2);
  EXPECT_THAT(err(), HasSubstr("--out is missing"));
  EXPECT_EQ(Run({"ckpt", "export", "c", "--out", "x", "--to", "gguf"}), 2);
  EXPECT_EQ(Run({"ckpt", "export", "c", "--out", "x", "--member", "-1"}), 2);
  EXPECT_NE(Run({"ckpt", "verify"}), 0);
  EXPECT_FALSE(ReadFile(asked_path_).ok());
}

}  // namespace
}  // namespace loglog::cli
