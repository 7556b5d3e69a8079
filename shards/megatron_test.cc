#include "shards/megatron.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "shards/inspect.h"
#include "shards/test_files_testing.h"
#include "shards/token_shard.h"

namespace loglog {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <typename Number>
std::string Bytes(const std::vector<Number>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(Number)};
}

struct Index {
  uint64_t version = 1;
  uint8_t type = 8;
  std::vector<int32_t> lengths = {3, 2, 1};
  std::vector<int64_t> offsets = {0, 6, 10};
  std::vector<int64_t> documents = {0, 2, 3};

  std::string Text() const {
    const std::vector<uint64_t> counts = {lengths.size(), documents.size()};
    return std::string("MMIDIDX\0\0", 9) + Bytes(std::vector{version}) + static_cast<char>(type) +
           Bytes(counts) + Bytes(lengths) + Bytes(offsets) + Bytes(documents);
  }
};

MegatronIndex Read(const std::string& text, int64_t bin_bytes = 12) {
  return ReadMegatronIndex(reinterpret_cast<const uint8_t*>(text.data()), text.size(), "d.idx",
                           bin_bytes);
}
std::string Refusal(const std::string& text, int64_t bin_bytes = 12) {
  return MessageOf<ShardError>([&] { Read(text, bin_bytes); });
}

TEST(Megatron, ReadsTheIndex) {
  const MegatronIndex index = Read(Index().Text());
  EXPECT_EQ(index.token_bytes, 2);
  EXPECT_FALSE(index.is_signed);
  EXPECT_EQ(index.tokens, 6);
  EXPECT_THAT(index.document_begins, ElementsAre(0, 5, 6));
  Index empty;  // documents without a sequence, in the middle and at the end
  empty.documents = {0, 2, 2, 3, 3};
  EXPECT_THAT(Read(empty.Text()).document_begins, ElementsAre(0, 5, 5, 6, 6));
}

TEST(Megatron, RefusalsNameThePlace) {
  EXPECT_THAT(Refusal("MMIDIDX"), HasSubstr("does not begin with MMIDIDX"));
  Index index;
  index.version = 2;
  EXPECT_THAT(Refusal(index.Text()), HasSubstr("index version 2"));
  index = {};
  index.type = 7;
  EXPECT_THAT(Refusal(index.Text()), HasSubstr("its tokens are of type 7"));
  index = {};
  EXPECT_THAT(Refusal(index.Text().substr(0, 60)), HasSubstr("it is cut short or damaged"));
  std::string huge = index.Text();
  std::memset(&huge[18], 0xff, 8);  // the number of sequences
  EXPECT_THAT(Refusal(huge), HasSubstr("ask for another number"));
  index.lengths[1] = -2;
  EXPECT_THAT(Refusal(index.Text()), HasSubstr("sequence 1 has the length -2"));
  index = {};
  index.offsets[2] = 12;
  EXPECT_THAT(Refusal(index.Text()), HasSubstr("sequence 2 begins at byte 12"));
  for (const std::vector<int64_t>& documents :
       {std::vector<int64_t>{0, 2}, {0, 2, 1, 3}, {1, 3}, {}, {0, 5}}) {
    index = {};
    index.documents = documents;
    EXPECT_THAT(Refusal(index.Text()), HasSubstr("do not run from 0 to the 3 sequences"));
  }
  EXPECT_THAT(Refusal(Index().Text(), 14), HasSubstr("not of one data set"));
  EXPECT_THROW(Read(Index().Text(), 10), DataUnavailable);
  EXPECT_THAT(MessageOf<ShardError>([] { MegatronBinPath("a/b.bin"); }), HasSubstr("name those"));
}

TEST(Megatron, TokensOfEveryTypeAreRead) {
  TemporaryFolder folder;
  const auto shard = [&](uint8_t type, const std::string& tokens, int64_t bytes) {
    Index index;
    index.type = type;
    index.lengths = {2, 1};
    index.offsets = {0, 2 * bytes};
    index.documents = {0, 1, 2};
    WriteText(folder / "d.idx", index.Text());
    WriteText(folder / "d.bin", tokens);
    return TokenShard(folder / "d.idx", ShardFormat::kMegatron);
  };
  const auto tokens = [](const TokenShard& from) {
    std::vector<int32_t> out(static_cast<size_t>(from.tokens()));
    from.Read(0, from.tokens(), 1 << 20, out.data());
    return out;
  };
  EXPECT_THAT(tokens(shard(1, Bytes<uint8_t>({1, 200, 3}), 1)), ElementsAre(1, 200, 3));
  EXPECT_THAT(tokens(shard(2, Bytes<int8_t>({1, 100, 3}), 1)), ElementsAre(1, 100, 3));
  EXPECT_THAT(tokens(shard(3, Bytes<int16_t>({1, 30000, 3}), 2)), ElementsAre(1, 30000, 3));
  EXPECT_THAT(tokens(shard(8, Bytes<uint16_t>({1, 60000, 3}), 2)), ElementsAre(1, 60000, 3));
  EXPECT_THAT(tokens(shard(4, Bytes<int32_t>({1, 100000, 3}), 4)), ElementsAre(1, 100000, 3));
  EXPECT_THAT(tokens(shard(5, Bytes<int64_t>({1, 100000, 3}), 8)), ElementsAre(1, 100000, 3));
  // A negative one is no token, of whatever width.
  EXPECT_THAT(MessageOf<ShardError>([&] {
                tokens(shard(2, Bytes<int8_t>({1, -1, 3}), 1));
              }),
              HasSubstr("token 1 (byte 1) is id -1, outside"));
  EXPECT_THROW(tokens(shard(5, Bytes<int64_t>({1, int64_t{1} << 40, 3}), 8)), ShardError);
  EXPECT_EQ(Inspect(folder.path()).problems.size(), 1u);  // the same, said of the folder
  shard(4, Bytes<int32_t>({1, 7, 3}), 4);
  const InspectReport report = Inspect(folder.path());
  ASSERT_EQ(report.files.size(), 1u);
  EXPECT_EQ(report.files[0].format, "Megatron int32");
  EXPECT_EQ(report.files[0].documents, 2);
  EXPECT_EQ(report.files[0].tokens, 3);
}

TEST(RawU32, IsReadAndInspectedOnDemand) {
  TemporaryFolder folder;
  WriteText(folder / "raw.bin", Bytes<uint32_t>({7, 100000}));
  const TokenShard shard(folder / "raw.bin", ShardFormat::kRawU32);
  EXPECT_EQ(shard.tokens(), 2);
  EXPECT_EQ(shard.At(1), 100000);
  const InspectReport report = Inspect(folder / "raw.bin", {.raw_bytes = 4});
  EXPECT_EQ(report.files.at(0).format, "raw uint32");
  EXPECT_EQ(report.files.at(0).max_token, 100000u);
  WriteText(folder / "odd.bin", "123456");
  EXPECT_THAT(MessageOf<ShardError>([&] { TokenShard(folder / "odd.bin", ShardFormat::kRawU32); }),
              HasSubstr("no multiple of 4, so it cannot hold uint32"));
  WriteLlmc(folder / "llmc.bin", std::vector<uint32_t>(300, 1));
  EXPECT_THAT(MessageOf<ShardError>([&] { TokenShard(folder / "llmc.bin", ShardFormat::kRawU32); }),
              HasSubstr("set its format to llmc, not u32"));
}

}  // namespace
}  // namespace loglog
