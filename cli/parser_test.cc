#include <fstream>

#include "cli/args.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<Command> Commands() {
  return {
      {.path = "status",
       .positionals = {{.name = "SWEEP", .required = false}},
       .flags = {{.name = "watch", .letter = 'w'}}},
      {.path = "plan",
       .positionals = {{.name = "SPEC", .help = "spec file"},
                       {.name = "OVERRIDE", .required = false, .many = true}},
       .flags = {{.name = "throughput", .value = "N", .from_env = true}}},
      {.path = "sweep list"},
      {.path = "sweep show", .positionals = {{.name = "SWEEP"}}},
      {.path = "trial list",
       .flags = {{.name = "state", .value = "S", .choices = {"done", "failed"}, .repeated = true}}},
      {.path = "worker start", .pass_through = true}};
}

class ParserTest : public testing::Test {
 protected:
  absl::StatusOr<ParsedCommand> Parse(std::vector<std::string> tokens) {
    return ParseCommandLine({.commands = &commands_, .tokens = std::move(tokens), .env = env_});
  }
  std::string Error(std::vector<std::string> tokens) {
    const auto parsed = Parse(std::move(tokens));
    return parsed.ok() ? "parsed" : std::string(parsed.status().message());
  }
  std::string WriteConfig(const std::string& text) {
    const std::string path = testing::TempDir() + "/loglog-config.toml";
    std::ofstream(path) << text;
    return path;
  }

  const std::vector<Command> commands_ = Commands();
  std::map<std::string, std::string> env_;
};

TEST_F(ParserTest, CommandsFlagsAndPositionals) {
  const auto parsed = Parse(
      {"plan", "a.yaml", "train.lr=3.0e-4", "--throughput", "5k", "~x", "+y=1", "-o", "json"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->command->path, "plan");
  EXPECT_EQ(parsed->args.One("SPEC"), "a.yaml");
  EXPECT_THAT(parsed->args.Many("OVERRIDE"), ElementsAre("train.lr=3.0e-4", "~x", "+y=1"));
  EXPECT_EQ(parsed->args.Number("throughput", 0, 1e12).value(), 5000);
  EXPECT_EQ(parsed->args.Get("output"), "json");
  EXPECT_EQ(parsed->args.Get("coordinator"), "127.0.0.1:7070");
  EXPECT_FALSE(parsed->args.Has("coordinator"));
}

TEST_F(ParserTest, GlobalFlagsGoBeforeOrAfter) {
  EXPECT_EQ(Parse({"--coordinator", "h:1", "sweep", "list"})->args.Get("coordinator"), "h:1");
  EXPECT_EQ(Parse({"--coordinator=h:1", "status", "-w"})->args.Get("coordinator"), "h:1");
  EXPECT_TRUE(Parse({"status", "-wo", "json"})->args.On("watch"));
}

// A sweep may be called as a command is.
TEST_F(ParserTest, AnArgumentIsNeverTakenForACommand) {
  const auto parsed = Parse({"status", "plan"});
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->command->path, "status");
  EXPECT_EQ(parsed->args.One("SWEEP"), "plan");
  EXPECT_EQ(Parse({"sweep", "show", "list"})->args.One("SWEEP"), "list");
}

TEST_F(ParserTest, MistakesAreGuessed) {
  EXPECT_EQ(Error({"statsu"}), "unknown command `statsu`: did you mean `status`?");
  EXPECT_EQ(Error({"sweep", "lst"}),
            "unknown command `lst` of `loglog sweep`: did you mean `list`?");
  EXPECT_EQ(Error({"status", "--wach"}),
            "unknown flag `--wach` for `loglog status`: did you mean `--watch`?");
  EXPECT_EQ(Error({"--coordintor", "x", "status"}),
            "unknown flag `--coordintor` before the command: did you mean `--coordinator`?");
  EXPECT_EQ(Error({"status", "-o", "jsn"}),
            "--output is `jsn`: it takes one of table, wide, json, jsonl, csv, name; did you mean "
            "`json`?");
  EXPECT_EQ(Error({"trial", "list", "--state", "don"}),
            "--state is `don`: it takes one of done, failed; did you mean `done`?");
  EXPECT_EQ(Error({"status", "a", "b"}), "`loglog status` takes no further argument: `b`");
  EXPECT_EQ(Error({"plan"}), "`loglog plan` needs SPEC: spec file");
  EXPECT_EQ(Error({"plan", "a", "--throughput"}), "--throughput needs a value: --throughput N");
}

TEST_F(ParserTest, RepeatedFlagsKeepTheirOrder) {
  EXPECT_THAT(Parse({"trial", "list", "--state", "done", "--state=failed"})->args.All("state"),
              ElementsAre("done", "failed"));
}

TEST_F(ParserTest, FlagsThenEnvironmentThenFileThenDefaults) {
  env_["LOGLOG_CONFIG"] =
      WriteConfig("coordinator = \"file:1\"\noutput = \"csv\"\n[plan]\nthroughput = 7\n");
  EXPECT_EQ(Parse({"status"})->args.Get("coordinator"), "file:1");
  EXPECT_EQ(Parse({"plan", "x"})->args.Get("throughput"), "7");
  env_["LOGLOG_COORDINATOR"] = "env:1";
  env_["LOGLOG_THROUGHPUT"] = "8";
  EXPECT_EQ(Parse({"status"})->args.Get("coordinator"), "env:1");
  EXPECT_EQ(Parse({"plan", "x"})->args.Get("throughput"), "8");
  EXPECT_EQ(Parse({"status", "--coordinator", "flag:1"})->args.Get("coordinator"), "flag:1");
  EXPECT_EQ(Parse({"status"})->args.Get("output"), "csv");
  EXPECT_EQ(Parse({"status", "-o", "json"})->args.Get("output"), "json");
}

TEST_F(ParserTest, ASwitchIsTurnedOffInTheSameOrder) {
  EXPECT_FALSE(Parse({"status"})->args.On("insecure"));
  env_["LOGLOG_CONFIG"] = WriteConfig("insecure = true\n[status]\nwatch = true\n");
  EXPECT_TRUE(Parse({"status"})->args.On("insecure"));
  EXPECT_TRUE(Parse({"status"})->args.On("watch"));
  EXPECT_FALSE(Parse({"status", "--insecure=false"})->args.On("insecure"));
  EXPECT_FALSE(Parse({"status", "--watch=false"})->args.On("watch"));
  env_["LOGLOG_INSECURE"] = "0";
  EXPECT_FALSE(Parse({"status"})->args.On("insecure"));
  EXPECT_TRUE(Parse({"status", "--insecure"})->args.On("insecure"));
  env_["LOGLOG_INSECURE"] = "1";
  EXPECT_TRUE(Parse({"status"})->args.On("insecure"));
  EXPECT_FALSE(Parse({"--insecure=false", "status"})->args.On("insecure"));
}

TEST_F(ParserTest, ATokenOfTheEnvironmentStandsAboveTheFilesTokenFile) {
  env_["LOGLOG_CONFIG"] = WriteConfig("token-file = \"of-the-config.token\"\n");
  EXPECT_EQ(Parse({"status"})->args.Get("token-file"), "of-the-config.token");
  env_["LOGLOG_TOKEN"] = "llg_x";
  EXPECT_EQ(Parse({"status"})->args.Get("token-file"), "");
  EXPECT_EQ(Parse({"status", "--token-file", "mine"})->args.Get("token-file"), "mine");
}

TEST_F(ParserTest, ConfigFileMistakesNameFileAndKey) {
  env_["LOGLOG_CONFIG"] = WriteConfig("cordinator = \"x:1\"\n");
  EXPECT_THAT(Error({"status"}),
              HasSubstr("unknown key `cordinator`: did you mean `coordinator`?"));
  EXPECT_THAT(Error({"status", "--config", "/nonexistent.toml"}),
              HasSubstr("cannot read the configuration file"));
  env_["LOGLOG_CONFIG"] = WriteConfig("[plan]\nnope = 1\n");
  EXPECT_EQ(Error({"status"}), "parsed");
  EXPECT_THAT(Error({"plan", "x"}), HasSubstr("unknown key `nope` in [plan]"));
}

TEST_F(ParserTest, DefaultConfigFileIsFoundAndOptional) {
  env_["HOME"] = "/nonexistent";
  EXPECT_EQ(Error({"status"}), "parsed");
}

TEST_F(ParserTest, PassThroughKeepsTheRest) {
  const auto parsed =
      Parse({"worker", "start", "--coordinator", "h:1", "--slots", "2", "--label", "a=b"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->args.Get("coordinator"), "h:1");
  EXPECT_THAT(parsed->args.rest(), ElementsAre("--slots", "2", "--label", "a=b"));
}

TEST_F(ParserTest, HelpAndVersion) {
  EXPECT_TRUE(Parse({})->command == nullptr);
  EXPECT_TRUE(Parse({"--help"})->help);
  EXPECT_TRUE(Parse({"--version"})->version);
  EXPECT_EQ(Parse({"sweep"})->group, "sweep");
  EXPECT_TRUE(Parse({"plan", "--help"})->help);
  EXPECT_TRUE(Parse({"plan", "-h"})->help);
}

TEST_F(ParserTest, NumbersAndDurations) {
  const auto value = [&](const std::string& text) {
    return Parse({"plan", "x", "--throughput", text})->args;
  };
  EXPECT_EQ(value("1.5e6").Number("throughput", 0, 1e12).value(), 1.5e6);
  EXPECT_EQ(value("2M").Number("throughput", 0, 1e12).value(), 2e6);
  EXPECT_FALSE(value("fast").Number("throughput", 0, 1e12).ok());
  EXPECT_EQ(value("90s").Seconds("throughput", 0, 1e6).value(), 90);
  EXPECT_EQ(value("2h").Seconds("throughput", 0, 1e6).value(), 7200);
  EXPECT_EQ(value("250ms").Seconds("throughput", 0, 1e6).value(), 0.25);
  EXPECT_FALSE(value("-3").Seconds("throughput", 0, 1e6).ok());
  EXPECT_FALSE(value("nan").Seconds("throughput", 0, 1e6).ok());
  EXPECT_FALSE(value("nan").Number("throughput", 0, 1e6).ok());
  EXPECT_EQ(value("2M").Number("throughput", 0, 1e6).status().message(),
            "--throughput is `2M`: it takes a number from 0 to 1e+06, such as 5000, 120k or 1.5e6");
  EXPECT_EQ(value("1h").Seconds("throughput", 0.5, 60).status().message(),
            "--throughput is `1h`: it takes a duration from 0.5s to 60s, such as 30s, 5m or 2h");
  EXPECT_EQ(value("7").Int("throughput", 1, 10).value(), 7);
  EXPECT_FALSE(value("11").Int("throughput", 1, 10).ok());
}

TEST_F(ParserTest, NoColorIsSeenEvenWhenTheLineIsWrong) {
  EXPECT_TRUE(WantsNoColor({"nope", "--no-color"}, {}));
  EXPECT_TRUE(WantsNoColor({"--no-color=true"}, {}));
  EXPECT_FALSE(WantsNoColor({"--no-color=false"}, {{"LOGLOG_NO_COLOR", "1"}}));
  EXPECT_FALSE(WantsNoColor({"demo", "--", "--no-color"}, {}));
  EXPECT_TRUE(WantsNoColor({}, {{"LOGLOG_NO_COLOR", "1"}}));
  EXPECT_FALSE(WantsNoColor({}, {{"LOGLOG_NO_COLOR", "0"}}));
}

TEST_F(ParserTest, JsonIsWantedEvenWhenTheLineIsWrong) {
  EXPECT_TRUE(WantsJson({"nope", "-o", "json"}, {}));
  EXPECT_TRUE(WantsJson({"--output=jsonl"}, {}));
  EXPECT_FALSE(WantsJson({"-o", "csv"}, {{"LOGLOG_OUTPUT", "json"}}));
  EXPECT_TRUE(WantsJson({}, {{"LOGLOG_OUTPUT", "json"}}));
}

}  // namespace
}  // namespace loglog::cli
