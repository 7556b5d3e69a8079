// The loop over a device that is steps behind the host.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "shards/test_files_testing.h"
#include "trainer/loop.h"
#include "trainer/task.h"
#include "trainer/task_testing.h"

namespace loglog {
namespace {

using nlohmann::json;

EngineOptions Late() {
  EngineOptions options;
  options.gpu_kernel_threads = 1;
  options.numbers_late_steps = 3;
  return options;
}

json TwoMembers(int metrics_every) {
  json task = SmallTask();
  task["members"][0]["config"]["metrics"]["every"] = metrics_every;
  task["members"].push_back(task["members"][0]);
  task["members"][1]["trial"] = "u";
  task["members"][1]["seed"] = 1;
  return task;
}

LoopResult RunTask(const TemporaryFolder& folder, const json& task, const EngineOptions& engine) {
  return TrainTask(ParseTask(task.dump(), "task.json", folder.path()),
                   {.resume_newest = true, .engine = engine});
}

std::vector<json> Events(const TemporaryFolder& folder, const std::string& kind) {
  std::istringstream lines(ReadText(folder / "events.jsonl"));
  std::vector<json> events;
  for (std::string line; std::getline(lines, line);) {
    json event = json::parse(line);
    if (event["e"] == kind) events.push_back(std::move(event));
  }
  return events;
}

std::vector<json> OfMember(const std::vector<json>& events, int member) {
  std::vector<json> own;
  for (const json& event : events) {
    if (event["member"] == member) own.push_back(event);
  }
  return own;
}

TEST(LoopAhead, WritesTheRowsOfALoopThatWaits) {
  for (const int every : {1, 7}) {
    TemporaryFolder waiting, ahead;
    ASSERT_EQ(RunTask(waiting, TwoMembers(every), {}), LoopResult::kDone);
    ASSERT_EQ(RunTask(ahead, TwoMembers(every), Late()), LoopResult::kDone);
    for (const int member : {0, 1}) {
      const auto expected = OfMember(Events(waiting, "row"), member);
      const auto rows = OfMember(Events(ahead, "row"), member);
      ASSERT_EQ(rows.size(), expected.size());
      for (size_t i = 0; i < rows.size(); ++i) {
        EXPECT_EQ(rows[i]["step"], expected[i]["step"]);
        EXPECT_EQ(rows[i]["tokens"], expected[i]["tokens"]);
        ASSERT_EQ(rows[i]["values"].size(), expected[i]["values"].size()) << rows[i]["step"];
        for (const auto& [name, value] : expected[i]["values"].items()) {
          const double number = value;
          EXPECT_NEAR(rows[i]["values"].at(name), number, 2e-4 * (1 + std::abs(number)))
              << name << " at step " << rows[i]["step"];
        }
      }
      EXPECT_EQ(OfMember(Events(ahead, "end"), member).size(), 1u);
    }
    EXPECT_EQ(Events(ahead, "checkpoint").size(), Events(waiting, "checkpoint").size());
  }
}

// A checkpoint holds all that was measured until its step, whatever was under way.
TEST(LoopAhead, GoesOnFromACheckpointAsIfItHadNotStopped) {
  TemporaryFolder whole, halves;
  const json task = TwoMembers(7);
  json first = task;
  first["token_end"] = 30 * 512;
  ASSERT_EQ(RunTask(whole, task, Late()), LoopResult::kDone);
  ASSERT_EQ(RunTask(halves, first, Late()), LoopResult::kDone);
  ASSERT_EQ(RunTask(halves, task, Late()), LoopResult::kDone);
  for (const std::string file : {"state.safetensors", "loop.json"}) {
    const std::string path = "checkpoints/step-00000060/" + file;
    EXPECT_FALSE(ReadText(whole / path).empty());
    EXPECT_TRUE(ReadText(whole / path) == ReadText(halves / path)) << file;
  }
}

// The device takes a member out at its step; the host hears of it later and says which it was.
TEST(LoopAhead, AMemberDivergesAtItsStepAndTheOtherGoesOn) {
  TemporaryFolder waiting, ahead;
  json task = TwoMembers(1);
  task["members"][1]["config"]["train"]["lr"] = 1e30;
  ASSERT_EQ(RunTask(waiting, task, {}), LoopResult::kDone);
  ASSERT_EQ(RunTask(ahead, task, Late()), LoopResult::kDone);
  const auto expected = OfMember(Events(waiting, "end"), 1);
  const auto ends = OfMember(Events(ahead, "end"), 1);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0]["outcome"], "diverged");
  EXPECT_EQ(ends[0]["step"], expected[0]["step"]);
  EXPECT_EQ(OfMember(Events(ahead, "row"), 1).size(), OfMember(Events(waiting, "row"), 1).size());
  EXPECT_EQ(OfMember(Events(ahead, "row"), 0).back()["step"], 60);
}

json Skipping() {
  json task = TwoMembers(1);
  for (json& member : task["members"]) {
    member["config"]["train"]["skip_sd"] = 1;
    member["config"]["train"]["lr"] = 1e-6;  // a loss that falls has no outliers
    member["config"]["train"]["tokens"] = 90 * 512;
  }
  return task;
}

// The limits of a step follow from all earlier numbers, which the host does not have yet.
TEST(LoopAhead, SkipsTheStepsThatALoopThatWaitsSkips) {
  TemporaryFolder waiting, ahead, halves;
  ASSERT_EQ(RunTask(waiting, Skipping(), {}), LoopResult::kDone);
  ASSERT_EQ(RunTask(ahead, Skipping(), Late()), LoopResult::kDone);
  json first = Skipping();
  first["token_end"] = 60 * 512;
  ASSERT_EQ(RunTask(halves, first, Late()), LoopResult::kDone);
  ASSERT_EQ(RunTask(halves, Skipping(), Late()), LoopResult::kDone);
  const auto skipped = [](const TemporaryFolder& folder) {
    std::vector<std::string> steps;
    for (const json& event : Events(folder, "notice")) {
      steps.push_back(event["step"].dump() + " of " + event["detail"]["member"].dump());
    }
    return steps;
  };
  EXPECT_FALSE(skipped(waiting).empty());
  EXPECT_EQ(skipped(ahead), skipped(waiting));
  EXPECT_EQ(skipped(halves), skipped(waiting));
  EXPECT_EQ(ReadText(ahead / "checkpoints/step-00000090/loop.json"),
            ReadText(halves / "checkpoints/step-00000090/loop.json"));
}

}  // namespace
}  // namespace loglog
