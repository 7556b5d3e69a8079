#include "trainer/footprint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "trainer/flops.h"

namespace loglog {
namespace {

using testing::HasSubstr;

MemberConfig Member() {
  MemberConfig member;
  member.model = {.layers = 2,
                  .d_model = 64,
                  .heads = 4,
                  .kv_heads = 2,
                  .d_ff = 96,
                  .vocab = 50,
                  .seq_len = 32};
  member.train.batch_tokens = 512;
  return member;
}

TEST(Footprint, CountsTheCheckpointCopyOfEveryMember) {
  const double params = static_cast<double>(CountParams(Member().model).total);
  const double one = TaskBytes({Member()});
  EXPECT_GT(one, 28 * params);
  EXPECT_DOUBLE_EQ(TaskBytes({Member(), Member(), Member()}) - one, 2 * 28 * params);
}

TEST(Footprint, WorkspacesFollowTheVocabularyAndNotTheBatch) {
  MemberConfig wide = Member(), long_batch = Member();
  wide.model.vocab = 5000;
  long_batch.train.batch_tokens = 512 * 64;
  EXPECT_EQ(TaskBytes({long_batch}), TaskBytes({Member()}));
  // Logits of 256 tokens in float32.
  EXPECT_DOUBLE_EQ(WorkspaceBytes(wide.model, 8) - WorkspaceBytes(Member().model, 8),
                   4950 * 256 * 4);
}

TEST(Footprint, RefusalSaysWhatWouldFit) {
  const double one = TaskBytes({Member()});
  const std::vector<MemberConfig> members(8, Member());
  CheckMemory(members, TaskBytes(members));
  const auto refusal = [&](double memory) -> std::string {
    try {
      CheckMemory(members, memory);
    } catch (const OutOfMemoryError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(refusal(TaskBytes(members) - 1), HasSubstr("what would fit: 7 members"));
  EXPECT_THAT(refusal(one / 2), HasSubstr("what would fit: a model of at most "));
}

TEST(Footprint, CgroupLimitIsTheSmallestUpwards) {
  const std::string mount = testing::TempDir() + "footprint-cgroup";
  std::filesystem::remove_all(mount);
  std::filesystem::create_directories(mount + "/a/b/c");
  const auto limit = [&](const std::string& group, const std::string& text) {
    std::ofstream(mount + group + "/memory.max") << text << "\n";
  };
  const auto found = [&](const std::string& membership) {
    return CgroupMemoryMax(membership, mount).value_or(-1);
  };
  EXPECT_EQ(found("0::/a/b/c\n"), -1);
  limit("/a/b/c", "max");
  EXPECT_EQ(found("0::/a/b/c\n"), -1);
  limit("/a", "3000");
  limit("/a/b", "4000");
  EXPECT_EQ(found("12:memory:/elsewhere\n0::/a/b/c\n"), 3000);
  limit("/a/b/c", "2000");
  EXPECT_EQ(found("0::/a/b/c\n"), 2000);
  EXPECT_EQ(found("0::/a\n"), 3000);
  EXPECT_EQ(found("0::/\n"), -1);
  limit("", "1000");  // as a container sees its own
  EXPECT_EQ(found("0::/\n"), 1000);
  EXPECT_EQ(found("5:memory:/a\n"), -1);
  std::filesystem::remove_all(mount);
}

TEST(Footprint, SomeMemoryIsUsable) { EXPECT_GT(UsableMemory(), 1e6); }

}  // namespace
}  // namespace loglog
