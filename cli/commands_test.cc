#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "cli/commands_testing.h"
#include "cli/fixtures_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "plan/plan.h"

namespace loglog::cli {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

TEST_F(CommandsTest, ListsInEveryFormat) {
  EXPECT_EQ(Run({"sweep", "list"}), 0);
  EXPECT_EQ(out(),
            "NAME  STATE  TRIALS  DONE  RUNNING  PENDING  DIVERGED  FAILED\n"
            "demo  done       16    16        0        0         0       0\n");
  EXPECT_THAT(err(), IsEmpty());
  EXPECT_EQ(Run({"sweep", "list", "-o", "name"}), 0);
  EXPECT_EQ(out(), "sweeps/demo\n");
  EXPECT_EQ(Run({"sweep", "list", "-o", "json"}), 0);
  EXPECT_EQ(json::parse(out())["sweeps"][0]["trials"], 16);
  EXPECT_EQ(Run({"sweep", "list", "-o", "csv"}), 0);
  EXPECT_THAT(out(), StartsWith("name,state,trials,done"));
  EXPECT_EQ(Run({"sweep", "list", "-o", "jsonl"}), 0);
  EXPECT_EQ(json::parse(out())["name"], "sweeps/demo");
  EXPECT_EQ(Run({"sweep", "list", "-o", "wide"}), 0);
  EXPECT_THAT(out(), HasSubstr("2023-11-14 22:13:20"));
}

// T20, T21: every trial is there, counted, and a diverged one is null with its state.
TEST_F(CommandsTest, T20_T21_exports_all_trials_and_no_nan) {
  fake_.data.trials[3].set_state(v1::Trial::DIVERGED);
  fake_.data.trials[3].set_diverged_step(77);
  Recount(&fake_.data);
  fake_.page_size_max = 3;
  EXPECT_EQ(Run({"export", "jsonl"}), 0);
  std::istringstream lines(out());
  int rows = 0;
  for (std::string line; std::getline(lines, line); ++rows) {
    const json row = json::parse(line);
    EXPECT_EQ(row["final_loss"].is_null(), row["state"] == "diverged") << line;
    if (row["state"] == "diverged") {
      EXPECT_EQ(row["diverged_step"], 77);
    }
  }
  EXPECT_EQ(rows, 16);
  EXPECT_EQ(err(), "exported 16 of 16 trials\n");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"trial", "list", "-o", "json"},
        {"trial", "list", "-o", "csv"},
        {"export", "csv", "--points"},
        {"export", "jsonl", "--points"},
        {"status"},
        {"plot"}}) {
    EXPECT_EQ(Run(command), 0) << err();
    EXPECT_THAT(out(), Not(HasSubstr("nan"))) << command[0];
    EXPECT_THAT(out(), Not(HasSubstr("NaN"))) << command[0];
  }
}

TEST_F(CommandsTest, AnExportThatFailsLeavesTheFileBefore) {
  const std::string folder = testing::TempDir() + "/exports";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const std::string path = folder + "/points.csv";
  const std::string link = folder + "/link.csv";
  const auto text = [](const std::string& file) {
    std::ifstream in(file);
    std::stringstream bytes;
    bytes << in.rdbuf();
    return bytes.str();
  };
  std::ofstream(path) << "of yesterday";
  std::filesystem::permissions(
      path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::filesystem::create_symlink("points.csv", link);
  fake_.refuse_points = true;
  EXPECT_EQ(Run({"export", "csv", "--points", "-f", path}), 1);
  EXPECT_EQ(text(path), "of yesterday");
  fake_.refuse_points = false;
  EXPECT_EQ(Run({"export", "csv", "--points", "-f", link}), 0) << err();
  EXPECT_EQ(err(), "exported 32 of 32 points of 16 trials to " + link + "\n");
  EXPECT_THAT(text(path), StartsWith("trial,metric,step,tokens,value\n"));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 2);
  EXPECT_EQ(Run({"export", "csv", "-f", "/dev/null"}), 0) << err();
  EXPECT_FALSE(std::filesystem::is_regular_file("/dev/null"));
  EXPECT_EQ(Run({"export", "csv", "-f", folder + "/none/x.csv"}), 1);
  EXPECT_THAT(err(), HasSubstr("/none/x.csv: check the folder"));
}

TEST_F(CommandsTest, ExportsPointsWithOneHeader) {
  EXPECT_EQ(Run({"export", "csv", "--points"}), 0);
  EXPECT_THAT(out(),
              StartsWith("trial,metric,step,tokens,value\nsweeps/demo/trials/1,loss/val,0,0,5.5\n"
                         "sweeps/demo/trials/1,loss/val,10,1000,\n"));
  EXPECT_EQ(err(), "exported 32 of 32 points of 16 trials\n");
  EXPECT_EQ(out().find("trial,metric", 1), std::string::npos);
}

TEST_F(CommandsTest, ExportOfTrialsHasNoMetrics) {
  EXPECT_EQ(Run({"export", "csv", "--metric", "loss/val"}), 2);
  EXPECT_THAT(err(), HasSubstr("--metric is for the curves of --points"));
  EXPECT_EQ(Run({"export", "csv", "--points", "--metric", "loss/val"}), 0) << err();
}

TEST_F(CommandsTest, ExitCodes) {
  EXPECT_EQ(Run({"sweep", "show", "dmo"}), 3);
  EXPECT_EQ(err(), "error: no sweep named `dmo`: did you mean `demo`?\nhint: loglog sweep list\n");
  EXPECT_EQ(Run({"nonsense"}), 2);
  EXPECT_EQ(Run({"sweep", "pause", "demo"}), 1);
  EXPECT_THAT(err(), HasSubstr("has ended"));
  EXPECT_EQ(Run({"status", "--coordinator", "unix:/nonexistent/s"}), 5);
  EXPECT_THAT(err(), HasSubstr("no coordinator answers at unix:/nonexistent/s"));
  EXPECT_EQ(Run({"compare", "small", "lrge"}), 3);
  EXPECT_THAT(err(), HasSubstr("did you mean `large`?"));
  EXPECT_EQ(Run({"compare", "small", "small"}), 2);
  EXPECT_EQ(Run({"version"}), 0);
  EXPECT_EQ(out(), "loglog 0.1.0\n");
  EXPECT_EQ(Run({"--version"}), 0);
  fake_.hang = true;
  EXPECT_EQ(Run({"sweep", "list", "--rpc-timeout", "150ms"}), 6);
  fake_.hang = false;
}

TEST_F(CommandsTest, ErrorsAreJsonWhereJsonIsAskedFor) {
  EXPECT_EQ(Run({"sweep", "show", "dmo", "-o", "json"}), 3);
  const json error = json::parse(err())["error"];
  EXPECT_EQ(error["code"], "NOT_FOUND");
  EXPECT_EQ(error["exit_code"], 3);
  EXPECT_EQ(error["hint"], "loglog sweep list");
  EXPECT_THAT(out(), IsEmpty());
  EXPECT_EQ(Run({"statsu", "-o", "json"}), 2);
  EXPECT_THAT(json::parse(err())["error"]["message"].get<std::string>(),
              HasSubstr("did you mean `status`?"));
}

TEST_F(CommandsTest, StatusShowsTheScreenAndNextOnlyAtATerminal) {
  EXPECT_EQ(Run({"status"}), 0);
  EXPECT_THAT(out(), StartsWith("demo  done   16 trials: 16 done\n[####"));
  EXPECT_THAT(out(), Not(HasSubstr("\x1b")));
  EXPECT_THAT(err(), IsEmpty());
  AsTerminal();
  EXPECT_EQ(Run({"status"}), 0);
  EXPECT_THAT(out(), HasSubstr("\x1b["));
  EXPECT_THAT(err(), HasSubstr("next: loglog fit demo"));
}

TEST_F(CommandsTest, NoColorInAllItsForms) {
  AsTerminal();
  EXPECT_EQ(Run({"status", "--no-color"}), 0);
  EXPECT_THAT(out() + err(), Not(HasSubstr("\x1b")));
  io_.env["NO_COLOR"] = "1";
  EXPECT_EQ(Run({"status"}), 0);
  EXPECT_THAT(out() + err(), Not(HasSubstr("\x1b")));
  io_.env.erase("NO_COLOR");
  io_.env["TERM"] = "dumb";
  EXPECT_EQ(Run({"status"}), 0);
  EXPECT_THAT(out() + err(), Not(HasSubstr("\x1b")));
}

TEST_F(CommandsTest, WaitFollowsToTheEndOnStderr) {
  MakeOpen();
  fake_.done_after_lists = 3;
  EXPECT_EQ(Run({"sweep", "wait"}), 0);
  EXPECT_THAT(out(), HasSubstr("demo  done       16    16"));
  EXPECT_THAT(err(), HasSubstr("8 done, 8 pending"));
  EXPECT_THAT(err(), Not(HasSubstr("\x1b")));
}

TEST_F(CommandsTest, WaitOutlivesACoordinatorThatComesBack) {
  MakeOpen();
  fake_.unavailable_after_lists = 1;
  fake_.unavailable_calls_then = 5;
  fake_.done_after_lists = 3;
  EXPECT_EQ(Run({"sweep", "wait"}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("; trying again for 1m 00s"));
}

TEST_F(CommandsTest, WaitTimesOutAndLeavesTheSweepAlone) {
  MakeOpen();
  EXPECT_EQ(Run({"sweep", "wait", "--timeout", "10ms"}), 6);
  EXPECT_THAT(err(), HasSubstr("hint: loglog sweep wait demo"));
  EXPECT_EQ(fake_.data.sweep.state(), v1::Sweep::ACTIVE);
}

TEST_F(CommandsTest, FailedTrialsGiveSeven) {
  fake_.data.trials[0].set_state(v1::Trial::FAILED);
  Recount(&fake_.data);
  EXPECT_EQ(Run({"status", "-w"}), 7);
  EXPECT_EQ(Run({"sweep", "wait"}), 7);
  EXPECT_EQ(Run({"sweep", "retry", "demo"}), 0);
  EXPECT_THAT(err(), HasSubstr("1 trial of sweep demo pending again"));
}

TEST_F(CommandsTest, CancelledTrialsGiveSeven) {
  for (v1::Trial& trial : fake_.data.trials) trial.set_state(v1::Trial::CANCELLED);
  Recount(&fake_.data);
  EXPECT_EQ(fake_.data.sweep.state(), v1::Sweep::DONE);
  EXPECT_EQ(Run({"status", "-w"}), 7);
  EXPECT_EQ(Run({"sweep", "wait"}), 7);
  EXPECT_THAT(err(), HasSubstr("demo done 0%  16 trials: 0 done, 16 cancelled"));
}

TEST_F(CommandsTest, WatchOnATerminalRedraws) {
  AsTerminal();
  MakeOpen();
  fake_.done_after_lists = 2;
  EXPECT_EQ(Run({"status", "-w"}), 0);
  EXPECT_THAT(out(), HasSubstr("A\r\x1b[2K"));
  EXPECT_EQ(Run({"status", "-w", "-o", "jsonl"}), 0);
  EXPECT_THAT(out(), Not(HasSubstr("\x1b")));
}

TEST_F(CommandsTest, SteeringNeedsAName) {
  MakeOpen();
  EXPECT_EQ(Run({"sweep", "cancel"}), 2);
  EXPECT_EQ(Run({"sweep", "pause", "demo"}), 0);
  EXPECT_THAT(err(), HasSubstr("sweep demo paused"));
  EXPECT_EQ(Run({"sweep", "resume", "demo"}), 0);
  EXPECT_EQ(Run({"sweep", "cancel", "demo", "-o", "json"}), 0);
  EXPECT_EQ(json::parse(out())["state"], "cancelled");
}

TEST_F(CommandsTest, FitAndCompareReport) {
  EXPECT_EQ(Run({"fit"}), 0);
  EXPECT_THAT(out(), HasSubstr("Local slope in D"));
  EXPECT_THAT(out(), HasSubstr("Exponent with a floor, in D"));
  EXPECT_THAT(out(), HasSubstr("small against large"));
  EXPECT_EQ(Run({"fit", "--arm", "small", "-o", "json"}), 0);
  EXPECT_EQ(json::parse(out())["fits"].size(), 2u);
  EXPECT_EQ(json::parse(out())["fits"][0]["parameters"][0]["name"], "slope");
  EXPECT_EQ(Run({"compare", "small", "large"}), 0);
  EXPECT_THAT(out(), HasSubstr("small is steeper than large; one-sided p = 0.0004"));
  EXPECT_EQ(Run({"fit", "--axis", "Q"}), 2);
}

TEST_F(CommandsTest, PlotsToTheTerminalAndToAFile) {
  EXPECT_EQ(Run({"plot"}), 0);
  EXPECT_THAT(out(), HasSubstr("small: slope -0.07 [-0.08, -0.06]"));
  EXPECT_THAT(out(), HasSubstr("16 of 16 trials"));
  const std::string path = testing::TempDir() + "/plot.svg";
  EXPECT_EQ(Run({"plot", "--svg", path}), 0);
  EXPECT_THAT(err(), HasSubstr("wrote " + path));
  EXPECT_GT(std::filesystem::file_size(path), 2000u);
  EXPECT_EQ(Run({"plot", "--svg", "/nonexistent/x.svg"}), 1);
  EXPECT_EQ(Run({"plot", "-o", "json"}), 0);
  const json points = json::parse(out())["points"];
  EXPECT_EQ(points[0]["series"], "small: slope -0.07 [-0.08, -0.06]");
  EXPECT_EQ(std::count_if(points.begin(), points.end(),
                          [](const json& point) { return point["what"] == "trial"; }),
            16);
  EXPECT_EQ(Run({"plot", "-o", "csv"}), 0);
  EXPECT_THAT(out(), StartsWith("series,what,x,y\n"));
}

TEST_F(CommandsTest, TrialCommands) {
  EXPECT_EQ(Run({"trial", "list", "--state", "failed"}), 0);
  EXPECT_EQ(err(), "0 of 16 trials\n");
  EXPECT_EQ(Run({"trial", "show", "3"}), 0);
  EXPECT_THAT(out(), HasSubstr("\"layers\": 2"));
  EXPECT_EQ(Run({"trial", "show", "demo/3", "-o", "json"}), 0);
  EXPECT_EQ(json::parse(out())["config"]["model"]["layers"], 2);
  EXPECT_EQ(Run({"trial", "show", "99"}), 3);
  EXPECT_EQ(Run({"trial", "logs", "3"}), 0);
  EXPECT_LT(out().find("attempt.leased"), out().find("attempt.failed"));
  EXPECT_THAT(
      err(),
      HasSubstr("last words: attempt.failed: token id 300 is outside the vocabulary of 256"));
  EXPECT_EQ(Run({"trial", "cancel", "3"}), 0);
  EXPECT_THAT(err(), HasSubstr("sweeps/demo/trials/3 is cancelled"));
  EXPECT_EQ(Run({"trial", "stop", "4", "--reason", "flat"}), 0);
  EXPECT_THAT(err(), HasSubstr("sweeps/demo/trials/4 is stopped at step "));
  EXPECT_THAT(err(), HasSubstr("fits leave it out"));
  EXPECT_EQ(fake_.data.trials[3].message(), "flat");
  EXPECT_EQ(Run({"sweep", "retry", "demo", "--stopped", "--reason", "more slots now"}), 0);
}

TEST_F(CommandsTest, ReproduceWritesATaskAndPrintsItsCommand) {
  const std::string folder = testing::TempDir() + "/reproduce";
  std::filesystem::remove_all(folder);
  EXPECT_EQ(Run({"trial", "reproduce", "2", "--dir", folder, "--data-root", "/data"}), 0) << err();
  EXPECT_THAT(out(), EndsWith(folder + "/task.json\n"));
  std::ifstream file(folder + "/task.json");
  const json task = json::parse(file);
  EXPECT_EQ(task["format"], 1);
  EXPECT_EQ(task["members"][0]["trial"], "trial2");
  EXPECT_EQ(task["members"][0]["config"]["model"]["layers"], 2);
  EXPECT_EQ(task["token_end"], fake_.data.trials[1].tokens_planned());
  EXPECT_EQ(task["data_root"], "/data");
  EXPECT_EQ(Run({"trial", "reproduce", "2", "--dir", folder}), 1);
  EXPECT_THAT(err(), HasSubstr("exists: it is left as it is"));
}

TEST_F(CommandsTest, ReproduceTakesDeviceAndCheckpointsFromTheSweep) {
  std::string spec = kSpec;
  absl::StrAppend(&spec, "checkpoint: {every: 50, keep: 3}\n");
  fake_.data.sweep.set_spec_json(CanonicalJson(ParseSpec(spec, "tiny.yaml").value()));
  const std::string folder = testing::TempDir() + "/reproduce-device";
  const auto task_of = [&](std::vector<std::string> more) {
    std::filesystem::remove_all(folder);
    more.insert(more.begin(), {"trial", "reproduce", "2", "-o", "json", "--dir", folder});
    EXPECT_EQ(Run(more), 0) << err();
    std::ifstream file(json::parse(out())["task"].get<std::string>());
    return json::parse(file);
  };
  EXPECT_EQ(task_of({})["device"], "cpu");
  EXPECT_EQ(task_of({})["checkpoint"]["every"], 50);
  EXPECT_EQ(task_of({})["checkpoint"]["keep"], 3);
  EXPECT_EQ(task_of({"--device", "cuda:1"})["device"], "cuda:1");
  fake_.trial_config = R"({"train":{"precision":"bf16"}})";
  EXPECT_EQ(task_of({})["device"], "cuda:0");
  EXPECT_EQ(task_of({"--device", "cpu"})["device"], "cpu");
  EXPECT_THAT(json::parse(out())["command"].get<std::string>(), EndsWith("task.json"));
  EXPECT_EQ(Run({"trial", "reproduce", "2", "--dir", folder + "2", "--device", "tpu"}), 2);
  EXPECT_THAT(err(), HasSubstr("--device is `tpu`: it takes cpu or cuda:<number>"));
}

TEST_F(CommandsTest, WorkersAndUp) {
  EXPECT_EQ(Run({"worker", "list"}), 0);
  EXPECT_THAT(out(), HasSubstr("w1    live       2"));
  EXPECT_EQ(Run({"worker", "drain", "w1"}), 0);
  EXPECT_THAT(err(), HasSubstr("w1 is draining"));
  EXPECT_EQ(Run({"worker", "resume", "w1"}), 0);
  EXPECT_EQ(Run({"worker", "drain", "w9"}), 3);
  const std::string folder = testing::TempDir() + "/bin";
  std::filesystem::create_directories(folder);
  for (const char* name : {"loglog-coordinator", "loglog-worker"}) {
    std::ofstream(folder + "/" + name) << "#!/bin/sh\n";
    std::filesystem::permissions(folder + "/" + name, std::filesystem::perms::owner_all);
  }
  io_.env["LOGLOG_BIN_DIR"] = folder;
  Run({"up", "--store", "x.db", "--insecure"});
  EXPECT_THAT(executed_, ElementsAre(folder + "/loglog-coordinator", "--store", "x.db", "--listen",
                                     "127.0.0.1:7070", "--insecure"));
  Run({"up", "--insecure=false"});
  EXPECT_THAT(executed_, Not(Contains(HasSubstr("insecure"))));
  Run({"worker", "start", "--slots", "2"});
  EXPECT_THAT(executed_, ElementsAre(folder + "/loglog-worker", "--coordinator", fake_.address(),
                                     "--slots", "2"));
  // What a client is set to is a worker's, too, and no coordinator's.
  io_.env["LOGLOG_TLS_CA"] = "ca.pem";
  io_.env["LOGLOG_TLS_CERT"] = "me.pem";
  io_.env["LOGLOG_TLS_KEY"] = "me.key";
  io_.env["LOGLOG_TOKEN_FILE"] = "me.token";
  io_.env["LOGLOG_INSECURE"] = "1";
  Run({"up", "--tls-cert", "server.pem", "--tls-key=server.key", "--tls-client-ca", "ca.pem"});
  EXPECT_THAT(executed_, ElementsAre(folder + "/loglog-coordinator", "--store", "./loglog.db",
                                     "--listen", "127.0.0.1:7070", "--tls-cert", "server.pem",
                                     "--tls-key", "server.key", "--tls-client-ca", "ca.pem"));
  Run({"up"});
  EXPECT_THAT(executed_, ElementsAre(folder + "/loglog-coordinator", "--store", "./loglog.db",
                                     "--listen", "127.0.0.1:7070"));
  Run({"worker", "start"});
  EXPECT_THAT(executed_, ElementsAre(folder + "/loglog-worker", "--coordinator", fake_.address(),
                                     "--tls-ca", "ca.pem", "--tls-cert", "me.pem", "--tls-key",
                                     "me.key", "--token-file", "me.token", "--insecure"));
  io_.env["LOGLOG_BIN_DIR"] = "/nonexistent";
  EXPECT_EQ(Run({"up"}), 3);
  EXPECT_THAT(err(), HasSubstr("cannot find loglog-coordinator: looked in /nonexistent"));
}

TEST_F(CommandsTest, PlanOnlineCountsReuse) {
  const std::string path = WriteFile("tiny.yaml", kSpec);
  EXPECT_EQ(Run({"plan", path, "--throughput", "50k"}), 0) << err();
  EXPECT_THAT(out(), StartsWith("tiny\n  trials      16: 8 cells over seeds"));
  EXPECT_THAT(out(), HasSubstr("12 new, 4 already in the store and shared"));
  EXPECT_THAT(out(), HasSubstr("50k tokens/s a slot, as\n"));
  EXPECT_EQ(Run({"plan", path, "-o", "json"}), 0);
  EXPECT_EQ(json::parse(out())["trials"], 16);
  EXPECT_EQ(json::parse(out())["trials_reused"], 4);
}

TEST_F(CommandsTest, PlanWorksOffline) {
  const std::string path = WriteFile("tiny.yaml", kSpec);
  EXPECT_EQ(Run({"plan", path, "--coordinator", "unix:/nonexistent/s"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("not known: give the speed of one slot with --throughput"));
  EXPECT_THAT(err(), HasSubstr("no coordinator at unix:/nonexistent/s"));
}

TEST_F(CommandsTest, SpecErrorsTeach) {
  std::string bad = kSpec;
  bad.replace(bad.find("weight_decay"), 12, "weigth_decay");
  const std::string path = WriteFile("bad.yaml", bad);
  EXPECT_EQ(Run({"plan", path}), 2);
  EXPECT_THAT(err(), HasSubstr("weight_decay"));
  EXPECT_THAT(err(), HasSubstr(":10:"));
  EXPECT_EQ(Run({"submit", path, "-o", "json"}), 2);
  EXPECT_THAT(json::parse(err())["error"]["spec_errors"], Not(IsEmpty()));
  EXPECT_EQ(Run({"plan", "/nonexistent.yaml"}), 3);
  EXPECT_EQ(Run({"plan", WriteFile("tiny.yaml", kSpec), "train.lr=fast"}), 2);
}

TEST_F(CommandsTest, SubmitSaysWhatIsNew) {
  const std::string path = WriteFile("tiny.yaml", kSpec);
  EXPECT_EQ(Run({"submit", path}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("submitted sweep demo, 16 trials: 12 new, 4 reused"));
  EXPECT_THAT(err(), HasSubstr("another spec is named tiny, so this one is demo"));
  EXPECT_EQ(Run({"submit", path, "-o", "json"}), 0) << err();
  EXPECT_EQ(json::parse(out())["created"], true);
  EXPECT_EQ(json::parse(out())["trials_new"], 12);
  EXPECT_EQ(json::parse(out())["sweep"]["name"], "sweeps/demo");
  fake_.spec_exists = true;
  EXPECT_EQ(Run({"submit", path, "-w"}), 0);
  EXPECT_THAT(err(),
              HasSubstr("this spec is there already: sweep demo, 16 trials: 0 new, 16 reused"));
}

TEST_F(CommandsTest, ExplainAndSchema) {
  EXPECT_EQ(Run({"explain", "train.warmup"}), 0) << err();
  EXPECT_THAT(out(), HasSubstr("warmup"));
  EXPECT_EQ(Run({"explain", "train.warmup", "-o", "json"}), 0) << err();
  EXPECT_EQ(json::parse(out())["field"], "train.warmup");
  EXPECT_THAT(json::parse(out())["text"].get<std::string>(), HasSubstr("warmup"));
  EXPECT_EQ(Run({"explain", "train.wramup"}), 3);
  EXPECT_EQ(Run({"schema"}), 0);
  EXPECT_TRUE(json::parse(out()).is_object());
}

TEST_F(CommandsTest, DataPackAndInspect) {
  const std::string folder = testing::TempDir() + "/packed";
  std::filesystem::remove_all(folder);
  std::string text;
  for (int i = 0; i < 200; ++i) absl::StrAppend(&text, "paragraph ", i, " of a short text\n\n");
  const std::string path = WriteFile("text.txt", text);
  EXPECT_EQ(Run({"data", "pack", path, "--out", folder}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("format: llmc"));
  EXPECT_EQ(Run({"data", "pack", path, "--out", folder, "--overwrite", "-o", "json"}), 0) << err();
  EXPECT_EQ(json::parse(out())["folder"], folder);
  EXPECT_EQ(Run({"data", "pack", path, "--out", folder, "--val-share", "2"}), 2) << err();
  EXPECT_THAT(err(), HasSubstr("--val-share is `2`"));
  EXPECT_EQ(Run({"data", "inspect", folder, "-o", "json"}), 0) << err();
  EXPECT_EQ(json::parse(out())["files"].size(), 2u);
  EXPECT_EQ(Run({"data", "inspect", "/nonexistent"}), 3);
  EXPECT_EQ(Run({"data", "pack", "/nonexistent.txt", "--out", folder + "2"}), 2);
  EXPECT_EQ(Run({"data", "pack", path, "--out", folder + "3", "--documents", "files"}), 2);
  EXPECT_THAT(err(), HasSubstr("--documents blank-lines"));
}

TEST_F(CommandsTest, CompletionScriptsNameCommandsAndFlags) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_EQ(Run({"completion", shell}), 0);
    for (const char* word :
         {"submit", "reproduce", "throughput", "coordinator", "jsonl", "diverged"}) {
      EXPECT_THAT(out(), HasSubstr(word)) << shell;
    }
    EXPECT_THAT(out(), Not(HasSubstr("exec-child"))) << shell;
  }
  EXPECT_EQ(Run({"completion", "powershell"}), 2);
}

// bash itself must accept the script and complete with it.
TEST_F(CommandsTest, BashCompletes) {
  ASSERT_EQ(Run({"completion", "bash"}), 0);
  const std::string path = WriteFile("completion.bash", out() + R"(
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _loglog; echo "${COMPREPLY[*]}"; }
ask loglog swe
ask loglog sweep pau
ask loglog plan --thr
ask loglog status -o js
)");
  FILE* pipe = popen(("bash " + path).c_str(), "r");
  char buffer[1000] = {};
  const size_t n = fread(buffer, 1, sizeof(buffer) - 1, pipe);
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_EQ(std::string(buffer, n), "sweep\npause\n--throughput\njson jsonl\n");
}

TEST_F(CommandsTest, HelpNamesEveryCommandAndHidesNone) {
  EXPECT_EQ(Run({}), 0);
  for (const Command& command : AllCommands()) {
    if (!command.hidden) {
      EXPECT_THAT(out(), HasSubstr("  " + command.path)) << command.path;
    }
  }
  EXPECT_EQ(Run({"sweep"}), 0);
  EXPECT_THAT(out(), HasSubstr("sweep retry"));
  EXPECT_EQ(Run({"plan", "--help"}), 0);
  EXPECT_THAT(out(), HasSubstr("--throughput TOKENS_PER_S"));
  std::istringstream lines(out());
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100u) << line;
}

TEST_F(CommandsTest, SqlNamesTheStoreThatIsMissing) {
  EXPECT_EQ(Run({"sql", "SELECT 1", "--store", "/nonexistent/x.db"}), 3);
  EXPECT_THAT(err(), HasSubstr("/nonexistent/x.db"));
}

// A path that another process gave means something only where that process runs.
TEST_F(CommandsTest, SqlFindsTheStoreOnlyByAPathThatHoldsHere) {
  fake_.store_path = "loglog.db";
  EXPECT_EQ(Run({"sql", "SELECT 1"}), 1);
  EXPECT_THAT(err(), HasSubstr("keeps its store at loglog.db, relative to its own folder"));
  EXPECT_THAT(err(), HasSubstr("hint: name the store's file with --store"));
  fake_.store_path = "/nowhere/loglog.db";
  EXPECT_EQ(Run({"sql", "SELECT 1"}), 1);
  EXPECT_THAT(err(), HasSubstr("/nowhere/loglog.db, which is no file on this host"));
}

}  // namespace
}  // namespace loglog::cli
