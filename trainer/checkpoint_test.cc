#include "trainer/checkpoint.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <set>

#include "shards/file_writer.h"
#include "shards/sha256.h"
#include "shards/test_files_testing.h"

namespace loglog {
namespace {

const CheckpointIdentity kIdentity = {"config-a", "data-a", "0.1.0"};

std::vector<StateBuffer> Buffers() {
  return {{.name = "0/weights/w", .dtype = "F32", .shape = {2, 3}, .bytes = 24},
          {.name = "0/counters", .dtype = "F64", .shape = {1}, .bytes = 8}};
}

Snapshot SnapshotAt(int64_t step) {
  Snapshot snapshot{.step = step, .identity = kIdentity, .buffers = Buffers()};
  snapshot.bytes.resize(32);
  for (size_t i = 0; i < 32; ++i) snapshot.bytes[i] = static_cast<char>(step + i);
  snapshot.loop = {{"step", step}};
  return snapshot;
}

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointOptions Options(int64_t keep = 2) {
    return {.dir = folder_.path(), .keep = keep, .events_lag = std::chrono::seconds(0)};
  }
  // With the pruning that follows, for a reader of the events that never lags.
  CommittedCheckpoint Commit(int64_t step, int64_t keep = 2) {
    const CommittedCheckpoint committed = CommitCheckpoint(SnapshotAt(step), Options(keep));
    PruneCheckpoints(Options(keep), step);
    return committed;
  }
  // As if the run made a step a second.
  void MadeAt(int64_t step) {
    char name[32];
    std::snprintf(name, sizeof name, "/step-%08d", static_cast<int>(step));
    const auto time = std::filesystem::file_time_type() + std::chrono::seconds(step);
    std::filesystem::last_write_time(folder_.path() + name, time);
  }
  std::set<std::string> Names() {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }
  // The step found, or -1; warnings are kept.
  int64_t Found(const std::optional<ResumePoint>& wanted = std::nullopt,
                int64_t last_step = 1 << 30, bool newest = false) {
    const auto found =
        FindCheckpoint(folder_.path(), wanted, newest, last_step, kIdentity, Buffers(),
                       [&](const std::string& text) { warnings_.push_back(text); });
    if (!found) return -1;
    EXPECT_EQ(std::memcmp(found->bytes(), SnapshotAt(found->step).bytes.data(), 32), 0);
    EXPECT_EQ(found->loop.at("step"), found->step);
    return found->step;
  }
  TemporaryFolder folder_;
  std::vector<std::string> warnings_;
};

TEST_F(CheckpointTest, CommitsAndLoads) {
  const CommittedCheckpoint committed = Commit(500);
  EXPECT_EQ(committed.path, folder_ / "step-00000500");
  EXPECT_EQ(committed.sha256, Sha256HexOfFile(folder_ / "step-00000500/manifest.json"));
  int64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(committed.path)) {
    bytes += static_cast<int64_t>(entry.file_size());
  }
  EXPECT_EQ(committed.bytes, bytes);
  EXPECT_EQ(Found(), 500);
  EXPECT_EQ(Found(ResumePoint{500, committed.path, committed.sha256}), 500);
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(CheckpointTest, StateIsSafetensors) {
  Commit(7);
  const std::string file = ReadText(folder_ / "step-00000007/state.safetensors");
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  EXPECT_EQ(length % 8, 0u);
  ASSERT_EQ(file.size(), 8 + length + 32);
  const auto header = nlohmann::json::parse(file.substr(8, length));
  EXPECT_EQ(header["0/weights/w"]["dtype"], "F32");
  EXPECT_EQ(header["0/weights/w"]["data_offsets"], nlohmann::json({0, 24}));
  EXPECT_EQ(header["0/counters"]["data_offsets"], nlohmann::json({24, 32}));
}

TEST_F(CheckpointTest, SameStateIsTheSameBytes) {
  const CommittedCheckpoint one = Commit(10);
  const std::string manifest = ReadText(folder_ / "step-00000010/manifest.json");
  const CommittedCheckpoint two = Commit(10);  // over the first
  EXPECT_EQ(one.sha256, two.sha256);
  EXPECT_EQ(ReadText(folder_ / "step-00000010/manifest.json"), manifest);
  EXPECT_EQ(Names(), (std::set<std::string>{"step-00000010"}));
}

TEST_F(CheckpointTest, KeepsTheNewestUpToItsStep) {
  for (int64_t step : {10, 20, 30}) Commit(step);
  EXPECT_EQ(Names(), (std::set<std::string>{"step-00000020", "step-00000030"}));
  // A run that went back to 10 must not lose its own to those ahead of it.
  Commit(15);
  EXPECT_EQ(Names(), (std::set<std::string>{"step-00000015", "step-00000020", "step-00000030"}));
  Commit(25, 1);
  EXPECT_EQ(Names(), (std::set<std::string>{"step-00000025", "step-00000030"}));
}

// The line of a checkpoint must be on the disk before the ones it takes over from are gone.
TEST_F(CheckpointTest, NothingIsRemovedBeforeTheEventsAreSynced) {
  CheckpointOptions options = Options(1);
  for (const int64_t step : {10, 20}) CommitCheckpoint(SnapshotAt(step), options);
  const std::set<std::string> both = {"step-00000010", "step-00000020"};
  EXPECT_EQ(Names(), both);
  options.sync_events = [] { throw FileError("events.jsonl: no space", ENOSPC); };
  EXPECT_THROW(PruneCheckpoints(options, 20), FileError);
  EXPECT_EQ(Names(), both);
  options.sync_events = [&] { EXPECT_EQ(Names(), both); };
  PruneCheckpoints(options, 20);
  EXPECT_EQ(Names(), (std::set<std::string>{"step-00000020"}));
}

// A coordinator that hears of checkpoints a minute late must find the one that it knows, or
// one shortly before it.
TEST_F(CheckpointTest, WhatALateReaderKnowsIsKept) {
  CheckpointOptions options = Options(1);
  options.events_lag = std::chrono::seconds(60);
  const auto commit = [&](int64_t second) {
    CommitCheckpoint(SnapshotAt(second), options);
    MadeAt(second);
    PruneCheckpoints(options, second);
  };
  // Every five minutes: the one before stays for its successor's first minute.
  commit(100);
  commit(400);
  EXPECT_EQ(Names(), (std::set<std::string>{"step-00000100", "step-00000400"}));
  EXPECT_EQ(Found(ResumePoint{100, folder_ / "step-00000100", ""}), 100);
  commit(700);
  EXPECT_EQ(Names(), (std::set<std::string>{"step-00000400", "step-00000700"}));
  // Every three seconds: at any time one of at most 15 seconds before the known one is there,
  // and there are few.
  for (int64_t now = 703; now < 880; now += 3) {
    commit(now);
    EXPECT_LE(Names().size(), 7u);
    const int64_t known = now - 60;
    if (known < 700) continue;
    const int64_t found = Found(ResumePoint{known, folder_ / "gone", ""});
    EXPECT_GE(found, known - 15) << now;
    EXPECT_LE(found, known) << now;
  }
}

TEST_F(CheckpointTest, AShortBodyThatItsManifestVouchesForIsDamage) {
  Commit(10);
  Snapshot small = SnapshotAt(20);
  small.bytes.resize(20);
  const CommittedCheckpoint committed = CommitCheckpoint(small, Options());
  const std::string message = MessageOf<DamagedCheckpoint>(
      [&] { LoadCheckpoint(committed.path, "", kIdentity, Buffers()); });
  EXPECT_EQ(message.find(committed.path + "/state.safetensors: has "), 0u) << message;
  EXPECT_NE(message.find(" bytes where its tensors take "), std::string::npos) << message;
  EXPECT_EQ(Found(), 10);
}

TEST_F(CheckpointTest, AnotherStepThanAskedForIsPassedOver) {
  Commit(10);
  const CommittedCheckpoint later = Commit(20);
  EXPECT_EQ(Found(ResumePoint{15, later.path, later.sha256}), 10);
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_NE(warnings_[0].find("its manifest says step 20, and it was to be of step 15"),
            std::string::npos);
}

TEST_F(CheckpointTest, DamageFallsBackToTheOneBefore) {
  const std::vector<std::function<void(const std::string&)>> damages = {
      [](const std::string& path) {
        std::filesystem::resize_file(path + "/state.safetensors", 40);
      },
      [](const std::string& path) {
        std::string state = ReadText(path + "/state.safetensors");
        state.back() ^= 1;
        WriteText(path + "/state.safetensors", state);
      },
      [](const std::string& path) { WriteText(path + "/loop.json", "{}"); },
      [](const std::string& path) { WriteText(path + "/manifest.json", "{\"format\""); },
      // Another folder's file, and what no stack could show.
      [](const std::string& path) {
        std::string manifest = ReadText(path + "/manifest.json");
        manifest.replace(manifest.find("loop.json"), 9, "../step-00000010/loop.json");
        WriteText(path + "/manifest.json", manifest);
      },
      [](const std::string& path) {
        WriteText(path + "/manifest.json", "{\"format\":" + std::string(1 << 20, '['));
      },
      [](const std::string& path) {
        WriteText(path + "/manifest.json",
                  "{\"format\":" + std::string(1 << 20, '[') + std::string(1 << 20, ']') + "}");
      },
      [](const std::string& path) { std::filesystem::remove(path + "/manifest.json"); },
      [](const std::string& path) { std::filesystem::remove(path + "/state.safetensors"); },
  };
  for (const auto& damage : damages) {
    Commit(10);
    const CommittedCheckpoint newest = Commit(20);
    warnings_.clear();
    damage(newest.path);
    EXPECT_EQ(Found(), 10);
    ASSERT_EQ(warnings_.size(), 1u);
    EXPECT_EQ(warnings_[0].find("passed over a damaged checkpoint: " + newest.path), 0u)
        << warnings_[0];
    EXPECT_EQ(Found(ResumePoint{20, newest.path, newest.sha256}), 10);
  }
}

TEST_F(CheckpointTest, NothingSoundIsNothing) {
  EXPECT_EQ(Found(), -1);
  EXPECT_EQ(Found(ResumePoint{20, folder_ / "step-00000020", "aa"}), -1);
  const CommittedCheckpoint only = Commit(20);
  EXPECT_EQ(Found(std::nullopt, 19), -1);
  EXPECT_EQ(Found(ResumePoint{10, folder_ / "step-00000010", "aa"}), -1)
      << "points after step 10 may not be stored";
  EXPECT_EQ(Found(ResumePoint{20, only.path, std::string(64, '0')}), -1);
}

TEST_F(CheckpointTest, AnotherConfigurationIsRefusedNamingBoth) {
  const CommittedCheckpoint committed = Commit(10);
  CheckpointIdentity other = kIdentity;
  other.config_sha256 = "config-b";
  EXPECT_EQ(MessageOf<ConfigError>([&] { LoadCheckpoint(committed.path, "", other, Buffers()); }),
            committed.path +
                ": is a checkpoint of another configuration (config-a) than this task's "
                "(config-b); resume the task that wrote it, or choose another checkpoint_dir");
  other = kIdentity;
  other.data_sha256 = "data-b";
  EXPECT_EQ(
      MessageOf<DataUnavailable>([&] { LoadCheckpoint(committed.path, "", other, Buffers()); }),
      committed.path +
          ": is a checkpoint of another data set (data-a) than this task's (data-b); give "
          "this host the shards it was trained on, or point loglog-worker --data-root at "
          "them");
  std::vector<StateBuffer> buffers = Buffers();
  buffers[0].shape = {3, 2};
  EXPECT_EQ(MessageOf<ConfigError>([&] { LoadCheckpoint(committed.path, "", kIdentity, buffers); }),
            committed.path +
                "/state.safetensors: holds other tensors than this trainer's model of this "
                "configuration; resume it with the trainer that wrote it (0.1.0)");
}

// The largest file is limited, which fails a write as a full disk does.
TEST_F(CheckpointTest, FullDiskLeavesOlderCheckpointsAndNothingTorn) {
  Commit(10);
  Snapshot large = SnapshotAt(20);
  large.buffers[0] = {.name = "w", .dtype = "F32", .shape = {50000}, .bytes = 200000};
  large.bytes.resize(200008);
  signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = 100000;
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string message = MessageOf<FileError>([&] {
    try {
      CommitCheckpoint(large, Options());
    } catch (const FileError& error) {
      EXPECT_EQ(error.error(), EFBIG);
      throw;
    }
  });
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_NE(message.find("the checkpoint of step 20 was not written (it takes 200"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find(" bytes in " + folder_.path() + ", where "), std::string::npos) << message;
  EXPECT_NE(message.find(" bytes are free; older checkpoints are intact): "), std::string::npos)
      << message;
  EXPECT_NE(message.find("state.safetensors: cannot be written: File too large; it needs 200"),
            std::string::npos)
      << message;
  EXPECT_EQ(Names(), (std::set<std::string>{"step-00000010"}));
  EXPECT_EQ(Found(), 10);
}

TEST_F(CheckpointTest, TheNewestIsFoundBeforeTheWantedOneWhereThatIsAskedFor) {
  const CommittedCheckpoint first = Commit(10, 4);
  const ResumePoint wanted{.step = 10, .path = first.path, .sha256 = first.sha256};
  EXPECT_EQ(Found(wanted, 40, /*newest=*/true), 10);
  Commit(20, 4);
  Commit(30, 4);
  EXPECT_EQ(Found(wanted, 40), 10);
  EXPECT_EQ(Found(wanted, 40, /*newest=*/true), 30);
  EXPECT_EQ(Found(wanted, 25, /*newest=*/true), 20);
  std::filesystem::resize_file(folder_ / "step-00000030/loop.json", 1);
  EXPECT_EQ(Found(wanted, 40, /*newest=*/true), 20);
}

// What is reported as not written is not there, even where the failure came after the rename.
TEST_F(CheckpointTest, AFailureAfterTheRenameLeavesWhatWasThere) {
  const std::string before = Commit(10).sha256;
  CheckpointOptions options = Options();
  options.at_phase = [](CommitPhase at) {
    if (at == CommitPhase::kRenamed) throw std::runtime_error("the folder cannot be synced");
  };
  EXPECT_THROW(CommitCheckpoint(SnapshotAt(10), options), std::runtime_error);
  EXPECT_THROW(CommitCheckpoint(SnapshotAt(20), options), std::runtime_error);
  EXPECT_EQ(Names(), (std::set<std::string>{"step-00000010"}));
  EXPECT_EQ(Found(ResumePoint{.step = 10, .path = folder_ / "step-00000010", .sha256 = before}),
            10);
  EXPECT_TRUE(warnings_.empty());
}

// Killed at each phase of a commit: either the old checkpoint or the new one is found,
// never a torn one, and the next commit works.
TEST_F(CheckpointTest, KilledAtAnyPhaseLeavesASoundCheckpoint) {
  for (const CommitPhase phase :
       {CommitPhase::kStateWritten, CommitPhase::kManifestWritten, CommitPhase::kRenamed}) {
    for (const bool step_exists : {false, true}) {
      std::filesystem::remove_all(folder_.path());
      std::filesystem::create_directory(folder_.path());
      Commit(10, 1);
      if (step_exists) {
        Commit(20, 2);
        std::filesystem::resize_file(folder_ / "step-00000020/loop.json", 1);
      }
      const pid_t child = fork();
      ASSERT_GE(child, 0);
      if (child == 0) {
        CheckpointOptions options = Options(1);
        options.at_phase = [phase](CommitPhase at) {
          if (at == phase) raise(SIGKILL);
        };
        CommitCheckpoint(SnapshotAt(20), options);
        _exit(0);
      }
      int status = 0;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFSIGNALED(status));
      const bool committed = phase == CommitPhase::kRenamed;
      EXPECT_EQ(Found(), committed ? 20 : 10);
      RemoveUnfinished(folder_.path());
      Commit(20, 1);
      EXPECT_EQ(Found(), 20);
      EXPECT_EQ(Names(), (std::set<std::string>{"step-00000020"}));
    }
  }
}

TEST_F(CheckpointTest, PointsAreSyncedBeforeTheCheckpointCounts) {
  CheckpointOptions options = Options();
  bool called = false;
  options.sync_events = [&] {
    called = true;
    EXPECT_EQ(Names().count("step-00000010"), 0u);
  };
  CommitCheckpoint(SnapshotAt(10), options);
  EXPECT_TRUE(called);
  options.sync_events = [] { throw std::runtime_error("events.jsonl: no space"); };
  EXPECT_THROW(CommitCheckpoint(SnapshotAt(20), options), std::runtime_error);
  EXPECT_EQ(Names(), (std::set<std::string>{"step-00000010"}));
}

TEST_F(CheckpointTest, WriterReportsResultsAndErrors) {
  CheckpointWriter writer(Options());
  EXPECT_FALSE(writer.Wait());
  writer.Start(SnapshotAt(10));
  EXPECT_TRUE(writer.busy());
  const auto committed = writer.Wait();
  ASSERT_TRUE(committed);
  EXPECT_EQ(committed->step, 10);
  EXPECT_FALSE(writer.busy());

  CheckpointWriter failing({.dir = "/proc/none", .keep = 1});
  failing.Start(SnapshotAt(10));
  EXPECT_THROW(failing.Wait(), std::runtime_error);
  EXPECT_FALSE(failing.busy());
}

}  // namespace
}  // namespace loglog
