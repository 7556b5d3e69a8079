// Tasks of several ranks as real processes, which are killed and stopped.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>

#include "shards/test_files_testing.h"
#include "trainer/process_testing.h"
#include "trainer/task_testing.h"

namespace loglog {
namespace {

using nlohmann::json;

json RanksTask(int ranks) {
  json task = SmallTask();
  task["ranks"] = ranks;
  task["members"][0]["config"]["model"]["layers"] = 2;
  return task;
}

void Put(const TemporaryFolder& folder, const json& task) {
  WriteText(folder / "task.json", task.dump());
}

ProcessExit RunTask(const TemporaryFolder& folder, const json& task) {
  Put(folder, task);
  return TrainerRun(folder.path(), {"task.json"}).Wait();
}

// The one process that the trainer has started.
pid_t FurtherRank(pid_t leader) {
  const std::string path =
      "/proc/" + std::to_string(leader) + "/task/" + std::to_string(leader) + "/children";
  return std::stoi(ReadText(path));
}

double Value(const EventStory& story, int64_t step, const char* metric) {
  return json::parse(story.rows.at({step, 0}))["values"][metric];
}

TEST(RanksProcess, TwoRanksHaveTheLossesOfOne) {
  TemporaryFolder one, two;
  ASSERT_EQ(RunTask(one, RanksTask(1)).code, 0);
  const ProcessExit exit = RunTask(two, RanksTask(2));
  ASSERT_EQ(exit.code, 0) << exit.errors;
  const EventStory alone = ReadStory(one / "events.jsonl"),
                   shared = ReadStory(two / "events.jsonl");
  ASSERT_EQ(alone.rows.size(), shared.rows.size());
  for (int64_t step = 1; step <= 60; ++step) {
    const double loss = Value(alone, step, "loss/train");
    EXPECT_NEAR(Value(shared, step, "loss/train"), loss, 1e-5 * loss) << step;
  }
  for (const int64_t step : {15, 30, 45, 60}) {
    const double loss = Value(alone, step, "loss/val");
    EXPECT_NEAR(Value(shared, step, "loss/val"), loss, 1e-5 * loss) << step;
  }
  EXPECT_NE(exit.errors.find(", 2 ranks"), std::string::npos) << exit.errors;
}

// Rank 0 alone knows what an outlier is; that the weights stay alike is checked at each checkpoint.
TEST(RanksProcess, AllRanksSkipTheSameSteps) {
  TemporaryFolder folder;
  json task = RanksTask(2);
  json& train = task["members"][0]["config"]["train"];
  train["tokens"] = 400 * 512;
  train["skip_sd"] = 0.5;  // of a mean that has forgotten how large gradients were at first
  const ProcessExit exit = RunTask(folder, task);
  ASSERT_EQ(exit.code, 0) << exit.errors;
  EXPECT_GT(Value(ReadStory(folder / "events.jsonl"), 400, "train/skipped"), 0);
}

// The leader ends as the rank did, so that a worker sees what happened; a later process goes on
// from the newest checkpoint, and all is as if nothing had happened.
TEST(RanksProcess, AKilledRankEndsTheTaskAndAResumeIsBitEqual) {
  TemporaryFolder whole, broken;
  ASSERT_EQ(RunTask(whole, RanksTask(2)).code, 0);
  Put(broken, RanksTask(2));
  {
    TrainerRun run(broken.path(), {"task.json"});
    run.WaitForStep(24);
    kill(FurtherRank(run.pid()), SIGKILL);
    const ProcessExit exit = run.Wait();
    EXPECT_EQ(exit.signal, SIGKILL) << exit.code << exit.errors;
    EXPECT_EQ(exit.LastWords(),
              "loglog-trainer: rank 1 was ended by signal 9, and the others with it");
  }
  ASSERT_EQ(TrainerRun(broken.path(), {"task.json", "--resume"}).Wait().code, 0);
  const EventStory one = ReadStory(whole / "events.jsonl");
  const EventStory two = ReadStory(broken / "events.jsonl");
  EXPECT_GT(two.resume_steps.back(), 0);
  EXPECT_TRUE(one == two);
  for (const char* file : {"state.safetensors", "loop.json", "manifest.json"}) {
    const std::string path = std::string("checkpoints/step-00000060/") + file;
    EXPECT_EQ(ReadText(whole / path), ReadText(broken / path)) << file;
  }
}

// No process stays behind when the leader is killed.
TEST(RanksProcess, RanksEndWithTheirLeader) {
  TemporaryFolder folder;
  Put(folder, RanksTask(2));
  TrainerRun run(folder.path(), {"task.json"});
  run.WaitForStep(3);
  const int rank = static_cast<int>(syscall(SYS_pidfd_open, FurtherRank(run.pid()), 0));
  ASSERT_GE(rank, 0);
  run.Kill(SIGKILL);
  EXPECT_EQ(run.Wait().signal, SIGKILL);
  pollfd ended = {.fd = rank, .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&ended, 1, 30'000), 1);
  close(rank);
}

TEST(RanksProcess, AStopIsTheLeadersToHear) {
  TemporaryFolder folder;
  json task = RanksTask(2);
  task["checkpoint"]["every"] = 0;
  Put(folder, task);
  TrainerRun run(folder.path(), {"task.json"});
  run.WaitForStep(5);
  kill(FurtherRank(run.pid()), SIGTERM);
  run.WaitForStep(8);
  run.Kill(SIGTERM);
  const ProcessExit exit = run.Wait();
  ASSERT_EQ(exit.code, 143) << exit.errors;
  EXPECT_EQ(ReadStory(folder / "events.jsonl").checkpoints.size(), 1u);
}

// A checkpoint of one rank goes on with two: ranks are no part of what is trained.
TEST(RanksProcess, AnyNumberResumes) {
  TemporaryFolder folder;
  json task = RanksTask(1);
  Put(folder, task);
  {
    TrainerRun run(folder.path(), {"task.json"});
    run.WaitForStep(12);
    run.Kill(SIGTERM);
    ASSERT_EQ(run.Wait().code, 143);
  }
  Put(folder, RanksTask(2));
  ASSERT_EQ(TrainerRun(folder.path(), {"task.json", "--resume"}).Wait().code, 0);
  const EventStory story = ReadStory(folder / "events.jsonl");
  EXPECT_GT(story.resume_steps.back(), 0);
  EXPECT_EQ(story.ends.size(), 1u);
}

TEST(RanksProcess, ADivergedMemberEndsOnAllRanks) {
  TemporaryFolder folder;
  json task = RanksTask(2);
  json wild = task["members"][0];
  wild["config"]["train"]["lr"] = 1e30;
  wild["config"]["train"]["clip"] = 0.0;
  wild["config"]["train"]["warmup"] = 0.0;
  task["members"].push_back(wild);
  const ProcessExit exit = RunTask(folder, task);
  ASSERT_EQ(exit.code, 0) << exit.errors;
  const EventStory story = ReadStory(folder / "events.jsonl");
  EXPECT_EQ(json::parse(story.ends.at(0))["outcome"], "done");
  EXPECT_EQ(json::parse(story.ends.at(1))["outcome"], "diverged");
}

}  // namespace
}  // namespace loglog
