// The real program: started, killed, resumed, fed bad input.
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "shards/test_files_testing.h"
#include "shards/token_shard.h"
#include "trainer/process_testing.h"
#include "trainer/task_testing.h"

namespace loglog {
namespace {

using nlohmann::json;

class LoopTest : public ::testing::Test {
 protected:
  static void Put(const TemporaryFolder& folder, const json& task) {
    WriteText(folder / "task.json", task.dump());
  }
  static ProcessExit Run(const TemporaryFolder& folder, const json& task, bool resume = false) {
    Put(folder, task);
    std::vector<std::string> arguments = {"task.json"};
    if (resume) arguments.push_back("--resume");
    return TrainerRun(folder.path(), arguments).Wait();
  }
  static std::map<std::string, std::string> CheckpointFiles(const TemporaryFolder& folder) {
    std::map<std::string, std::string> files;
    const std::string root = folder / "checkpoints";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      if (entry.is_regular_file()) {
        files[entry.path().string().substr(root.size())] = ReadText(entry.path().string());
      }
    }
    return files;
  }
  // The files of the checkpoints that checkpoint.keep asks for. Which older ones are there
  // too depends on the clock.
  static std::map<std::string, std::string> NewestCheckpoints(const TemporaryFolder& folder) {
    std::map<std::string, std::string> files = CheckpointFiles(folder);
    std::set<std::string> names;
    for (const auto& [path, contents] : files) names.insert(path.substr(0, path.rfind('/')));
    while (names.size() > 2) names.erase(names.begin());
    std::erase_if(files, [&](const auto& file) {
      return names.count(file.first.substr(0, file.first.rfind('/'))) == 0;
    });
    return files;
  }
  void ExpectRefused(const json& task, const std::string& message, int code = 20) {
    TemporaryFolder folder;
    const ProcessExit exit = Run(folder, task);
    EXPECT_EQ(exit.code, code);
    EXPECT_EQ(exit.LastWords(), "loglog-trainer: " + message);
    EXPECT_FALSE(std::filesystem::exists(folder / "events.jsonl"));
  }
};

TEST_F(LoopTest, WritesWhatTheContractSays) {
  TemporaryFolder folder;
  const ProcessExit exit = Run(folder, SmallTask());
  ASSERT_EQ(exit.code, 0) << exit.errors;
  std::istringstream lines(ReadText(folder / "events.jsonl"));
  std::string text;
  std::getline(lines, text);
  const json start = json::parse(text);
  EXPECT_EQ(start["e"], "start");
  EXPECT_EQ(start["resume_step"], 0);
  EXPECT_EQ(start["total_steps"], 60);
  EXPECT_EQ(start["data_sha256"].get<std::string>().size(), 64u);
  EXPECT_GT(start["params_total"].get<int64_t>(), start["params_non_embedding"].get<int64_t>());
  std::getline(lines, text);
  const json zero = json::parse(text);
  EXPECT_EQ(zero["step"], 0);
  EXPECT_TRUE(zero["values"].contains("data/entropy_rate"));
  const double floor = zero["values"].value("data/val_floor", 0.0);
  EXPECT_NEAR(floor, zero["values"]["data/entropy_rate"], 0.3);
  EXPECT_NE(floor, zero["values"]["data/entropy_rate"]);
  EXPECT_EQ(zero["values"].value("data/val_tokens", 0), 512);
  EXPECT_TRUE(zero["values"].contains("init/std/embed"));

  const EventStory story = ReadStory(folder / "events.jsonl");
  EXPECT_EQ(story.rows.size(), 61u);
  std::set<int64_t> evaluated, probed;
  for (const auto& [at, row] : story.rows) {
    const json values = json::parse(row)["values"];
    EXPECT_EQ(json::parse(row)["tokens"], at.first * 512);
    if (values.contains("loss/val")) evaluated.insert(at.first);
    if (values.contains("norm/ms_over_eps/final_norm") || row.find("cond/") != std::string::npos) {
      probed.insert(at.first);
    }
  }
  EXPECT_EQ(evaluated, (std::set<int64_t>{15, 30, 45, 60}));
  EXPECT_EQ(probed, (std::set<int64_t>{0, 20, 40, 60}));
  ASSERT_EQ(story.ends.size(), 1u);
  const json end = json::parse(story.ends.at(0));
  EXPECT_EQ(end["outcome"], "done");
  EXPECT_EQ(end["final_loss"], end["summary"]["loss/val"]);
  EXPECT_LT(end["final_loss"].get<double>(), 4.2);  // ln 80 = 4.38 at the start
  ASSERT_EQ(story.checkpoints.size(), 6u);
  EXPECT_EQ(story.checkpoints.back()["step"], 60);
  EXPECT_EQ(story.checkpoints.back()["path"], folder / "checkpoints/step-00000060");
  EXPECT_EQ(NewestCheckpoints(folder).size(), 6u);  // two kept, of three files each
  EXPECT_LE(CheckpointFiles(folder).size(), 6u + 5 * 3u);
  EXPECT_EQ(CheckpointFiles(folder).count("/step-00000050/manifest.json"), 1u);
}

// N + N steps across kills equal 2N steps: rows, notices, ends and checkpoint bytes.
TEST_F(LoopTest, T29_KilledAndResumedIsBitEqual) {
  json task = SmallTask();
  task["members"].push_back(task["members"][0]);
  task["members"][1]["seed"] = 5;
  task["members"][1]["config"]["init"] = {{"gamma", 0.8}};
  task["members"][1]["config"]["train"]["weight_decay"] = 1.0;
  TemporaryFolder whole, broken;
  ASSERT_EQ(Run(whole, task).code, 0);
  Put(broken, task);
  int killed = 0;
  for (const auto& [step, signal] : std::vector<std::pair<int64_t, int>>{
           {3, SIGKILL}, {17, SIGKILL}, {25, SIGTERM}, {41, SIGKILL}, {47, SIGUSR1}}) {
    TrainerRun run(broken.path(), {"task.json", "--resume"});
    run.WaitForStep(step);
    run.Kill(signal);
    const ProcessExit exit = run.Wait();
    if (signal == SIGKILL) {
      killed += exit.signal == SIGKILL;
    } else if (exit.code != 0) {
      ++killed;
      EXPECT_EQ(exit.code, 143) << exit.errors;
    }
  }
  EXPECT_GE(killed, 3) << "the trainer is too fast for this test; give it more work";
  ASSERT_EQ(TrainerRun(broken.path(), {"task.json", "--resume"}).Wait().code, 0);
  const EventStory one = ReadStory(whole / "events.jsonl");
  const EventStory two = ReadStory(broken / "events.jsonl");
  EXPECT_GT(two.resume_steps.back(), 0);
  EXPECT_EQ(one.rows, two.rows);
  EXPECT_TRUE(one == two);
  EXPECT_EQ(NewestCheckpoints(whole), NewestCheckpoints(broken));
}

TEST_F(LoopTest, AskedToStopLeavesACheckpointOfThatStep) {
  TemporaryFolder folder;
  json task = SmallTask();
  task["checkpoint"]["every"] = 0;
  Put(folder, task);
  TrainerRun run(folder.path(), {"task.json"});
  run.WaitForStep(5);
  run.Kill(SIGTERM);
  const ProcessExit exit = run.Wait();
  ASSERT_EQ(exit.code, 143) << exit.errors;
  const EventStory story = ReadStory(folder / "events.jsonl");
  ASSERT_EQ(story.checkpoints.size(), 1u);
  const int64_t step = story.checkpoints[0]["step"];
  EXPECT_EQ(story.rows.rbegin()->first.first, step);
  EXPECT_EQ(exit.LastWords(), "stopped at step " + std::to_string(step) +
                                  " as asked, with a checkpoint; continue with --resume");
}

TEST_F(LoopTest, MembersOfOneTaskAreTheirSoloRuns) {
  json task = SmallTask();
  task["checkpoint"]["every"] = 0;
  json second = task["members"][0];
  second["seed"] = 3;
  second["config"]["init"] = {{"gamma", 0.9}};
  second["config"]["train"]["weight_decay"] = 1.0;
  json solo = task;
  solo["members"] = json::array({second});
  task["members"].push_back(second);
  TemporaryFolder together, alone;
  ASSERT_EQ(Run(together, task).code, 0);
  ASSERT_EQ(Run(alone, solo).code, 0);
  const EventStory both = ReadStory(together / "events.jsonl");
  const EventStory one = ReadStory(alone / "events.jsonl");
  ASSERT_EQ(both.rows.size(), 122u);
  int different = 0;
  for (int64_t step = 0; step <= 60; ++step) {
    const json first = json::parse(both.rows.at({step, 0}))["values"];
    const json other = json::parse(both.rows.at({step, 1}))["values"];
    different += first != other;
    EXPECT_EQ(other, json::parse(one.rows.at({step, 0}))["values"]) << step;
  }
  EXPECT_EQ(different, 61);
}

TEST_F(LoopTest, DivergenceEndsTheMemberWithItsStepAndNotTheOthers) {
  json task = SmallTask();
  json wild = task["members"][0];
  wild["config"]["train"]["lr"] = 1e30;
  wild["config"]["train"]["clip"] = 0.0;
  wild["config"]["train"]["warmup"] = 0.0;
  json both = task;
  both["members"].push_back(wild);
  TemporaryFolder calm, folder, alone;
  ASSERT_EQ(Run(calm, task).code, 0);
  const ProcessExit exit = Run(folder, both);
  ASSERT_EQ(exit.code, 0) << exit.errors;
  const EventStory story = ReadStory(folder / "events.jsonl");
  const json end = json::parse(story.ends.at(1));
  EXPECT_EQ(end["outcome"], "diverged");
  EXPECT_EQ(end["final_loss"], "nan");
  const int64_t step = end["step"];
  EXPECT_LT(step, 20);
  EXPECT_EQ(story.rows.count({step, 1}), 1u);
  EXPECT_EQ(story.rows.count({step + 1, 1}), 0u);
  EXPECT_EQ(story.ends.at(0), ReadStory(calm / "events.jsonl").ends.at(0));

  // Resumed after the divergence, the member ends again in the new attempt.
  const ProcessExit again = Run(folder, both, /*resume=*/true);
  EXPECT_EQ(again.code, 0) << again.errors;
  const EventStory resumed = ReadStory(folder / "events.jsonl");
  EXPECT_EQ(resumed.resume_steps.back(), 60);
  EXPECT_EQ(resumed.ends, story.ends);

  task["members"][0] = wild;
  const ProcessExit all = Run(alone, task);
  EXPECT_EQ(all.code, 10);
  EXPECT_EQ(all.LastWords(), "member 0 diverged at step " + std::to_string(step) +
                                 ": loss or gradient is not finite");
}

TEST_F(LoopTest, ResumeNamedByTheTask) {
  TemporaryFolder first, second;
  json task = SmallTask();
  ASSERT_EQ(Run(first, task).code, 0);
  const EventStory story = ReadStory(first / "events.jsonl");
  const json point = story.checkpoints.at(4);
  ASSERT_EQ(point["step"], 50);
  task["attempt_id"] = 2;
  task["checkpoint_dir"] = first / "checkpoints";
  task["resume"] = {{"step", 50}, {"path", point["path"]}, {"sha256", point["sha256"]}};
  ASSERT_EQ(Run(second, task).code, 0);
  const EventStory resumed = ReadStory(second / "events.jsonl");
  EXPECT_EQ(resumed.resume_steps, std::vector<int64_t>{50});
  EXPECT_EQ(resumed.rows.size(), 10u);
  EXPECT_EQ(resumed.ends, story.ends);
  // A damaged one is passed over and the start line says where it really began.
  std::filesystem::resize_file(first / "checkpoints/step-00000050/state.safetensors", 100);
  const ProcessExit exit = Run(second, task);
  ASSERT_EQ(exit.code, 0);
  EXPECT_NE(exit.errors.find("passed over a damaged checkpoint"), std::string::npos);
  std::istringstream lines(ReadText(second / "events.jsonl"));
  // The newest run is appended; its start is followed by why it went back further.
  json start, notice;
  for (std::string line; std::getline(lines, line);) {
    if (json::parse(line)["e"] != "start") continue;
    start = json::parse(line);
    std::getline(lines, line);
    notice = json::parse(line);
  }
  EXPECT_EQ(start["resume_step"], 10);
  ASSERT_EQ(notice["e"], "notice");
  EXPECT_EQ(notice["kind"], "resume_fallback");
  EXPECT_EQ(notice["step"], 10);
  EXPECT_EQ(notice["detail"]["wanted_step"], 50);
  EXPECT_NE(notice["detail"]["passed_over"][0].get<std::string>().find("step-00000050"),
            std::string::npos);
}

// A trunk of 60 steps with a checkpoint that stays, and a cooldown of its own from there: the
// child ends with every byte of a run that had the child's schedule from the start.
TEST_F(LoopTest, ABranchEqualsARunOfItsOwn) {
  TemporaryFolder trunk_folder, child_folder, whole_folder;
  json trunk = SmallTask();
  trunk["members"][0]["config"]["train"].update(
      {{"schedule", "wsd"}, {"warmup_tokens", 4 * 512}, {"weight_decay", 1}});
  trunk["checkpoint"] = {{"every", 5}, {"keep", 1}, {"at", {23}}};
  ASSERT_EQ(Run(trunk_folder, trunk).code, 0);
  const std::string point = trunk_folder / "checkpoints/step-00000023";
  ASSERT_TRUE(std::filesystem::exists(point)) << "a branch point was removed";

  json child = trunk;
  child["members"][0]["config"]["train"].update(
      {{"tokens", 40 * 512}, {"cooldown", 0.4}, {"cooldown_shape", "linear"}});
  child["checkpoint"] = {{"every", 10}, {"keep", 2}};
  ASSERT_EQ(Run(whole_folder, child).code, 0);
  child["token_begin"] = 23 * 512;
  child["branch"] = {{"step", 23}, {"path", point}};
  ASSERT_EQ(Run(child_folder, child).code, 0);
  const std::string last = "/step-00000040/";
  const auto whole = CheckpointFiles(whole_folder), branched = CheckpointFiles(child_folder);
  EXPECT_EQ(branched.at(last + "state.safetensors"), whole.at(last + "state.safetensors"));
  EXPECT_EQ(ReadStory(child_folder / "events.jsonl").resume_steps, std::vector<int64_t>{23});

  child["members"][0]["config"]["train"]["cooldown"] = 0.6;
  const ProcessExit late = Run(child_folder, child);
  EXPECT_EQ(late.code, 20);
  EXPECT_NE(late.LastWords().find("had another learning rate or decay at step 17"),
            std::string::npos)
      << late.LastWords();
}

TEST_F(LoopTest, ACheckpointIsVerifiedAndExported) {
  TemporaryFolder folder;
  ASSERT_EQ(Run(folder, SmallTask()).code, 0);
  const std::string point = folder / "checkpoints/step-00000060";
  ProcessExit exit = TrainerRun(folder.path(), {"verify", point}).Wait();
  EXPECT_EQ(exit.code, 0);
  EXPECT_NE(exit.LastWords().find("sound, step 60"), std::string::npos) << exit.errors;
  exit = TrainerRun(folder.path(), {"export", point, "--out", folder / "hf"}).Wait();
  EXPECT_EQ(exit.code, 0) << exit.errors;
  EXPECT_TRUE(std::filesystem::exists(folder / "hf/model.safetensors"));
  std::filesystem::resize_file(point + "/state.safetensors", 100);
  exit = TrainerRun(folder.path(), {"verify", point}).Wait();
  EXPECT_EQ(exit.code, 1);
  EXPECT_NE(exit.LastWords().find("has 100 bytes where its manifest says"), std::string::npos);
  EXPECT_EQ(TrainerRun(folder.path(), {"export", point}).Wait().code, 2);
}

// The end of a shorter task may be a step that the longer one did not evaluate at.
TEST_F(LoopTest, ResumedAtItsEndEvaluatesThere) {
  TemporaryFolder folder;
  json task = SmallTask();
  task["checkpoint"]["keep"] = 6;
  task["members"][0]["config"]["eval"]["every"] = 0.5;
  ASSERT_EQ(Run(folder, task).code, 0);
  task["token_end"] = 20 * 512;
  const ProcessExit exit = Run(folder, task, /*resume=*/true);
  ASSERT_EQ(exit.code, 0) << exit.errors;
  const EventStory story = ReadStory(folder / "events.jsonl");
  ASSERT_EQ(story.resume_steps.back(), 20);
  TemporaryFolder alone;
  ASSERT_EQ(Run(alone, task).code, 0);
  EXPECT_EQ(json::parse(story.ends.at(0))["final_loss"],
            json::parse(ReadStory(alone / "events.jsonl").ends.at(0))["final_loss"]);
}

TEST_F(LoopTest, ACheckpointBeforeTheTasksBeginIsRefused) {
  TemporaryFolder folder;
  json task = SmallTask();
  task["token_end"] = 20 * 512;
  ASSERT_EQ(Run(folder, task).code, 0);
  task["token_begin"] = 30 * 512;
  task["token_end"] = 60 * 512;
  const ProcessExit exit = Run(folder, task, /*resume=*/true);
  EXPECT_EQ(exit.code, 20);
  EXPECT_NE(exit.LastWords().find("step-00000020: is the newest sound checkpoint and lies before "
                                  "token_begin, at step 30; name one from there on in resume"),
            std::string::npos)
      << exit.errors;
}

TEST_F(LoopTest, DivergedAtItsFirstStepHasNoDecayBehindIt) {
  json task = SmallTask();
  json& config = task["members"][0]["config"];
  config["train"]["lr"] = 1e30;
  config["train"]["warmup"] = 0.0;
  config["init"] = {{"sigma", 1e30}};
  TemporaryFolder folder;
  EXPECT_EQ(Run(folder, task).code, 10);
  const json end = json::parse(ReadStory(folder / "events.jsonl").ends.at(0));
  EXPECT_EQ(end["step"], 1);
  EXPECT_EQ(end["summary"]["lr_lambda_integral"], 0.0);
}

// A checkpoint of the same task was trained on other shards than this host's.
TEST_F(LoopTest, OtherDataThanTheCheckpointsIsTheHostsFault) {
  TemporaryFolder folder;
  WriteLlmc(folder / "train.bin", std::vector<uint32_t>(2000, 7));
  WriteLlmc(folder / "val.bin", std::vector<uint32_t>(2000, 7));
  json task = SmallTask();
  json& data = task["members"][0]["config"]["data"];
  data["train"] = {{"format", "llmc"}, {"glob", "train.bin"}};
  data["val"] = {{"format", "llmc"}, {"glob", "val.bin"}};
  ASSERT_EQ(Run(folder, task).code, 0);
  WriteLlmc(folder / "train.bin", std::vector<uint32_t>(2000, 8));
  const ProcessExit exit = Run(folder, task, /*resume=*/true);
  EXPECT_EQ(exit.code, 41);
  EXPECT_NE(exit.LastWords().find("step-00000060: is a checkpoint of another data set ("),
            std::string::npos)
      << exit.errors;
  std::filesystem::remove(folder / "train.bin");
  EXPECT_EQ(Run(folder, task).code, 41);
  data["train"]["glob"] = "val.bin";
  EXPECT_EQ(Run(folder, task).code, 20);
}

TEST_F(LoopTest, CheckpointOfAnotherConfigurationIsRefused) {
  TemporaryFolder folder;
  json task = SmallTask();
  ASSERT_EQ(Run(folder, task).code, 0);
  task["members"][0]["config"]["train"]["lr"] = 0.002;
  const ProcessExit exit = Run(folder, task, /*resume=*/true);
  EXPECT_EQ(exit.code, 20);
  EXPECT_NE(exit.LastWords().find("step-00000060: is a checkpoint of another configuration ("),
            std::string::npos)
      << exit.errors;
}

TEST_F(LoopTest, FullDiskDuringACheckpoint) {
  TemporaryFolder folder;
  json task = SmallTask();
  Put(folder, task);
  TrainerRun run(folder.path(), {"task.json"}, /*file_bytes_max=*/60000);
  const ProcessExit exit = run.Wait();
  EXPECT_EQ(exit.code, 41);
  EXPECT_NE(exit.LastWords().find("the checkpoint of step 10 was not written (it takes "),
            std::string::npos)
      << exit.errors;
  EXPECT_TRUE(CheckpointFiles(folder).empty());
  EXPECT_TRUE(std::filesystem::is_empty(folder / "checkpoints"));
}

// Asked to stop, it stops as asked although its checkpoint finds no room, and says so.
TEST_F(LoopTest, FullDiskWhenAskedToStop) {
  TemporaryFolder folder;
  json task = SmallTask();
  task["checkpoint"]["every"] = 0;
  Put(folder, task);
  TrainerRun run(folder.path(), {"task.json"}, /*file_bytes_max=*/60000);
  run.WaitForStep(2);
  run.Kill(SIGTERM);
  const ProcessExit exit = run.Wait();
  EXPECT_EQ(exit.code, 143) << exit.errors;
  EXPECT_NE(exit.LastWords().find(" as asked, without a checkpoint of it: the checkpoint of step "),
            std::string::npos)
      << exit.errors;
  EXPECT_TRUE(CheckpointFiles(folder).empty());
}

TEST_F(LoopTest, BadInputIsRefusedOrFailsWithItsCode) {
  json task = SmallTask();
  task["members"][0]["config"]["data"]["synthetic"]["contexts"] = 79;
  ExpectRefused(task,
                "data.synthetic: 79 contexts and 8 answers need model.vocab of at least 87, and it "
                "is 80; raise model.vocab or lower data.synthetic.contexts");
  task = SmallTask();
  task["token_begin"] = 512;
  ExpectRefused(task,
                "token_begin is 512, and no sound checkpoint of step 1 was found to begin from; "
                "name it in resume, or set token_begin to 0");

  TemporaryFolder folder;
  const ProcessExit none = TrainerRun(folder.path(), {"none.json"}).Wait();
  EXPECT_EQ(none.code, 20);
  EXPECT_EQ(none.LastWords(),
            "loglog-trainer: none.json: cannot be opened: No such file or directory");
  EXPECT_EQ(TrainerRun(folder.path(), {"--resum", "task.json"}).Wait().code, 2);
  EXPECT_EQ(TrainerRun(folder.path(), {"--version"}).Wait().code, 0);
}

TEST_F(LoopTest, DamagedShardsAreRefused) {
  TemporaryFolder folder;
  WriteLlmc(folder / "train.bin", std::vector<uint32_t>(2000, 7));
  WriteLlmc(folder / "val.bin", std::vector<uint32_t>(2000, 7));
  json task = SmallTask();
  json& data = task["members"][0]["config"]["data"];
  data["train"] = {{"format", "llmc"}, {"glob", "train.bin"}};
  data["val"] = {{"format", "llmc"}, {"glob", "val.bin"}};
  EXPECT_EQ(Run(folder, task).code, 0);
  std::vector<uint32_t> stray(2000, 7);
  stray[1234] = 80;
  WriteLlmc(folder / "train.bin", stray);
  ProcessExit exit = Run(folder, task);
  EXPECT_EQ(exit.code, 20);
  EXPECT_NE(exit.LastWords().find("train.bin: token 1234 (byte 3492) is id 80, outside the "
                                  "vocabulary of 80"),
            std::string::npos)
      << exit.errors;
  std::filesystem::resize_file(folder / "train.bin", 3000);
  exit = Run(folder, task);
  EXPECT_EQ(exit.code, 41);
  EXPECT_NE(exit.LastWords().find("train.bin: has 3000 bytes where its header of 2000 tokens asks "
                                  "for 5024; it is cut short"),
            std::string::npos)
      << exit.errors;
}

TEST_F(LoopTest, TooLargeAModelSaysWhatWouldFit) {
  json task = SmallTask();
  json& model = task["members"][0]["config"]["model"];
  model["d_model"] = 1 << 20;
  model["d_ff"] = 1 << 20;
  model["layers"] = 64;
  TemporaryFolder folder;
  const ProcessExit exit = Run(folder, task);
  EXPECT_EQ(exit.code, 30);
  EXPECT_NE(exit.LastWords().find("what would fit: a model of at most"), std::string::npos)
      << exit.errors;
}

TEST_F(LoopTest, MissingDeviceIsADeviceError) {
  json task = SmallTask();
  task["device"] = "cuda:99";
  TemporaryFolder folder;
  const ProcessExit exit = Run(folder, task);
  EXPECT_EQ(exit.code, 40);
  EXPECT_NE(exit.LastWords().find("device is 'cuda:99' and this "), std::string::npos)
      << exit.errors;
}

TEST_F(LoopTest, ATrainerWithoutItsWorkerLeaves) {
  TemporaryFolder folder;
  Put(folder, SmallTask());
  setenv("LOGLOG_PARENT_PID", "1", 1);
  const ProcessExit stranger = TrainerRun(folder.path(), {"task.json"}).Wait();
  setenv("LOGLOG_PARENT_PID", std::to_string(getpid()).c_str(), 1);
  const ProcessExit child = TrainerRun(folder.path(), {"task.json"}).Wait();
  unsetenv("LOGLOG_PARENT_PID");
  EXPECT_EQ(stranger.code, 1);
  EXPECT_EQ(stranger.LastWords(), "loglog-trainer: the worker with process id 1 is gone; leaving");
  EXPECT_EQ(child.code, 0) << child.errors;
}

}  // namespace
}  // namespace loglog
