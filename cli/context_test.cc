#include "cli/context.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <streambuf>

#include "cli/commands_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace loglog::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A stream that takes everything and can store none of it, as /dev/full does.
class FullDisk : public std::streambuf {
 protected:
  std::streamsize xsputn(const char*, std::streamsize size) override { return size; }
  int overflow(int c) override { return c; }
  int sync() override { return -1; }
};

class ContextTest : public CommandsTest {};

TEST_F(ContextTest, OutputThatCannotBeWrittenIsAFailure) {
  FullDisk full;
  std::ostream out(&full);
  io_.out = &out;
  EXPECT_EQ(Run({"schema"}), 1);
  EXPECT_THAT(err(), HasSubstr("error: cannot write to standard output"));
  EXPECT_EQ(Run({"--help"}), 1);
  EXPECT_EQ(Run({"sweep", "show", "nope"}), 3);
  // The reader took what it wanted and left: `loglog schema | head`.
  io_.reader_left = [] { return true; };
  out.clear();
  EXPECT_EQ(Run({"schema"}), 0);
  EXPECT_THAT(err(), IsEmpty());
}

TEST_F(ContextTest, FollowingEndsWhenNobodyReads) {
  MakeOpen();
  fake_.done_after_lists = 4;
  const auto lists = [&] {
    const auto count = std::count(fake_.calls.begin(), fake_.calls.end(), "ListTrials");
    fake_.calls.clear();
    return count;
  };
  io_.reader_left = [] { return true; };
  EXPECT_EQ(Run({"status", "-w", "-o", "jsonl"}), 0) << err();
  EXPECT_EQ(lists(), 1);
  FullDisk full;
  std::ostream out(&full);
  io_.out = &out;
  io_.reader_left = [] { return false; };
  EXPECT_EQ(Run({"status", "-w"}), 1);
  EXPECT_THAT(err(), HasSubstr("error: cannot write to standard output"));
  EXPECT_EQ(lists(), 1);
}

TEST_F(ContextTest, AnExceptionEndsInAMessage) {
  const std::string folder = testing::TempDir() + "/throwing";
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/loglog-coordinator") << "#!/bin/sh\n";
  std::filesystem::permissions(folder + "/loglog-coordinator", std::filesystem::perms::owner_all);
  io_.env["LOGLOG_BIN_DIR"] = folder;
  io_.exec = [](const std::vector<std::string>&) -> absl::Status {
    throw std::runtime_error("out of luck");
  };
  EXPECT_EQ(Run({"up"}), 1);
  EXPECT_THAT(err(), HasSubstr("error: out of luck"));
}

TEST_F(ContextTest, AFolderThatIsGoneIsNamed) {
  const std::filesystem::path before = std::filesystem::current_path();
  const std::string folder = testing::TempDir() + "/gone";
  const std::string target = testing::TempDir() + "/reproduce-from-gone";
  std::filesystem::remove_all(target);
  std::filesystem::create_directories(folder);
  ASSERT_EQ(chdir(folder.c_str()), 0);
  std::filesystem::remove(folder);
  io_.env["LOGLOG_BIN_DIR"] = "/nonexistent";
  EXPECT_EQ(Run({"doctor"}), 1);
  EXPECT_THAT(out(), HasSubstr("the current folder is gone"));
  EXPECT_THAT(out(), HasSubstr("workers"));
  EXPECT_EQ(Run({"trial", "reproduce", "2", "--dir", target}), 1);
  EXPECT_THAT(err(), HasSubstr("--data-root"));
  EXPECT_EQ(Run({"trial", "reproduce", "2", "--dir", target, "--data-root", "/data"}), 0) << err();
  std::filesystem::current_path(before);
}

TEST_F(ContextTest, WhatTrainersSayCannotSteerTheTerminal) {
  const std::string words =
      "first\nsecond\x1b[2J\x07 third\xc2\x9b"
      "31m\n";
  fake_.data.trials[0].set_state(v1::Trial::FAILED);
  fake_.data.trials[0].set_message(words);
  fake_.data.trials[1].set_message("plain");
  Recount(&fake_.data);
  for (const char* format : {"table", "wide"}) {
    EXPECT_EQ(Run({"trial", "list", "-o", format}), 0);
    EXPECT_THAT(out(), HasSubstr("first / second [2J  third 31m\n")) << format;
    EXPECT_THAT(out(), Not(HasSubstr("\x1b")));
    EXPECT_EQ(Run({"trial", "show", "1", "-o", format}), 0);
    EXPECT_THAT(out(), HasSubstr("second [2J  third")) << format;
    EXPECT_THAT(out(), Not(HasSubstr("\x1b")));
    EXPECT_THAT(out(), Not(HasSubstr("\x9b")));
  }
  EXPECT_EQ(Run({"trial", "logs", "1"}), 0);
  EXPECT_THAT(err(), HasSubstr("failed: first / second [2J"));
  EXPECT_THAT(err(), Not(HasSubstr("\x1b")));
  EXPECT_EQ(Run({"trial", "list", "-o", "json"}), 0);
  EXPECT_EQ(json::parse(out())["trials"][0]["message"], words);
  EXPECT_EQ(Run({"trial", "list", "-o", "csv"}), 0);
  EXPECT_THAT(out(), HasSubstr(words));
}

TEST_F(ContextTest, TheNewestSweepIsShownWithItsSpec) {
  fake_.data.sweep.set_spec_json(R"({"name":"demo"})");
  EXPECT_EQ(Run({"sweep", "show", "-o", "json"}), 0);
  EXPECT_EQ(json::parse(out())["spec"]["name"], "demo");
}

// Help, errors and the live screen keep to it as well as tables do.
TEST_F(ContextTest, NoColorBeforeAndAfterParsing) {
  AsTerminal();
  EXPECT_EQ(Run({"plan", "--help"}), 0);
  EXPECT_THAT(out(), HasSubstr("\x1b[1m"));
  const std::vector<std::vector<std::string>> commands = {
      {"plan", "--help"},       {"--help"}, {"sweep"}, {"nonsense"}, {"status", "--nonsense"},
      {"sweep", "show", "nope"}};
  for (std::vector<std::string> command : commands) {
    Run(command);
    EXPECT_THAT(out() + err(), HasSubstr("\x1b["));
    io_.env["LOGLOG_NO_COLOR"] = "1";
    Run(command);
    EXPECT_THAT(out() + err(), Not(HasSubstr("\x1b")));
    io_.env.erase("LOGLOG_NO_COLOR");
    command.insert(command.begin(), "--no-color");
    Run(command);
    EXPECT_THAT(out() + err(), Not(HasSubstr("\x1b")));
  }
}

TEST_F(ContextTest, ErrorsKeepToTheFormatOfTheConfigurationFile) {
  io_.env["LOGLOG_CONFIG"] = WriteFile("json.toml", "output = \"json\"\n");
  EXPECT_EQ(Run({"sweep", "show", "nope"}), 3);
  EXPECT_EQ(json::parse(err())["error"]["exit_code"], 3);
  EXPECT_EQ(Run({"sweep", "show", "nope", "-o", "table"}), 3);
  EXPECT_THAT(err(), HasSubstr("error: no sweep named `nope`"));
}

TEST_F(ContextTest, ADumbTerminalIsNotDrawnOver) {
  AsTerminal();
  const auto watch = [&](const std::vector<std::string>& more) {
    fake_.data = DoneSweep();
    MakeOpen();
    fake_.done_after_lists = 2;
    std::vector<std::string> tokens = {"status", "-w"};
    tokens.insert(tokens.end(), more.begin(), more.end());
    EXPECT_EQ(Run(tokens), 0) << err();
  };
  // Without colour the screen still redraws itself.
  watch({"--no-color"});
  EXPECT_THAT(out(), HasSubstr("\x1b[2K"));
  EXPECT_THAT(out(), Not(HasSubstr("\x1b[1m")));
  io_.env["TERM"] = "dumb";
  watch({});
  EXPECT_THAT(out() + err(), Not(HasSubstr("\x1b")));
  EXPECT_THAT(out(), HasSubstr("16 done"));
}

TEST_F(ContextTest, WatchingKnowsItsFormats) {
  for (const char* format : {"csv", "name"}) {
    EXPECT_EQ(Run({"status", "-w", "-o", format}), 2);
    EXPECT_THAT(err(), HasSubstr("-o jsonl"));
    EXPECT_THAT(out(), IsEmpty());
  }
  EXPECT_EQ(Run({"status", "-w", "-o", "json"}), 0);
  EXPECT_EQ(json::parse(out())["name"], "sweeps/demo");
}

}  // namespace
}  // namespace loglog::cli
