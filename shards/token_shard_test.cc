#include "shards/token_shard.h"

#include <gtest/gtest.h>

#include <cstring>

#include "shards/test_files_testing.h"

namespace loglog {
namespace {

std::string Llmc(int32_t magic, int32_t version, int32_t tokens, const std::string& body) {
  std::string file(kLlmcHeaderBytes, '\0');
  std::memcpy(&file[0], &magic, 4);
  std::memcpy(&file[4], &version, 4);
  std::memcpy(&file[8], &tokens, 4);
  return file + body;
}

bool IsUnavailable(const std::string& path, ShardFormat format) {
  try {
    TokenShard(path, format);
  } catch (const DataUnavailable&) {
    return true;
  } catch (const ShardError&) {
  }
  return false;
}

TEST(TokenShard, ReadsWhatItWrote) {
  TemporaryFolder folder;
  const std::vector<uint32_t> narrow = {0, 1, 255, 65535}, wide = {7, 65536, 128255};
  WriteLlmc(folder / "narrow.bin", narrow);
  WriteLlmc(folder / "wide.bin", wide);
  const TokenShard a(folder / "narrow.bin", ShardFormat::kLlmc);
  const TokenShard b(folder / "wide.bin", ShardFormat::kLlmc);
  EXPECT_EQ(a.token_bytes(), 2);
  EXPECT_EQ(b.token_bytes(), 4);
  ASSERT_EQ(a.tokens(), 4);
  ASSERT_EQ(b.tokens(), 3);
  int32_t out[2];
  a.Read(2, 2, 65536, out);
  EXPECT_EQ(out[0], 255);
  EXPECT_EQ(out[1], 65535);
  b.Read(1, 2, 200000, out);
  EXPECT_EQ(out[0], 65536);
  EXPECT_EQ(out[1], 128255);
}

TEST(TokenShard, ReadsTheLayoutOfLlmC) {
  TemporaryFolder folder;
  WriteText(folder / "a.bin", Llmc(20240520, 1, 3, std::string("\x01\x00\x02\x00\xff\xff", 6)));
  const TokenShard shard(folder / "a.bin", ShardFormat::kLlmc);
  EXPECT_EQ(shard.At(0), 1u);
  EXPECT_EQ(shard.At(1), 2u);
  EXPECT_EQ(shard.At(2), 65535u);
}

TEST(TokenShard, ReadsRawUint16) {
  TemporaryFolder folder;
  WriteText(folder / "a.bin", std::string("\x05\x00\x34\x12", 4));
  const TokenShard shard(folder / "a.bin", ShardFormat::kRawU16);
  ASSERT_EQ(shard.tokens(), 2);
  EXPECT_EQ(shard.At(1), 0x1234u);
}

TEST(TokenShard, TokenOutsideTheVocabularyNamesFileAndPlace) {
  TemporaryFolder folder;
  WriteLlmc(folder / "a.bin", {1, 2, 300, 4});
  const TokenShard shard(folder / "a.bin", ShardFormat::kLlmc);
  int32_t out[4];
  EXPECT_EQ(MessageOf<ShardError>([&] { shard.Read(1, 3, 256, out); }),
            folder / "a.bin" +
                ": token 2 (byte 1028) is id 300, outside the vocabulary of 256; raise model.vocab "
                "or check that this file belongs to this tokenizer");
}

TEST(TokenShard, IdsBeyondInt32AreRefused) {
  TemporaryFolder folder;
  WriteLlmc(folder / "a.bin", {1, 0x80000000u});
  const TokenShard shard(folder / "a.bin", ShardFormat::kLlmc);
  int32_t out[2];
  EXPECT_THROW(shard.Read(0, 2, int64_t{1} << 40, out), ShardError);
}

TEST(TokenShard, DamagedFilesAreRefusedByName) {
  TemporaryFolder folder;
  const std::string path = folder / "x.bin";
  struct Case {
    std::string contents;
    ShardFormat format;
    std::string message;
    bool unavailable = false;  // another host may have it whole
  };
  const std::vector<Case> cases = {
      {"", ShardFormat::kLlmc, ": is empty; write it again with 'loglog data pack'", true},
      {"", ShardFormat::kRawU16, ": is empty; write it again with 'loglog data pack'", true},
      {"abc", ShardFormat::kRawU16,
       ": has 3 bytes, an odd number, so it cannot hold uint16 tokens; it is cut short or of "
       "another format"},
      {"abcd", ShardFormat::kLlmc,
       ": has 4 bytes, less than the 1024 of an llm.c header; it is cut short or of another format "
       "(format u16 is for files without a header)"},
      {Llmc(7, 1, 2, "abcd"), ShardFormat::kLlmc,
       ": does not begin with llm.c's magic number (found 7, expected 20240520 or 20240801); is "
       "its format u16?"},
      {Llmc(20240522, 1, 2, "abcd"), ShardFormat::kLlmc,
       ": is an llm.c evaluation file (magic 20240522), not a token shard"},
      {Llmc(20240520, 2, 2, "abcd"), ShardFormat::kLlmc,
       ": has llm.c version 2 under magic 20240520, where version 1 is the one known"},
      {Llmc(20240520, 1, 0, ""), ShardFormat::kLlmc, ": its header says 0 tokens"},
      {Llmc(20240520, 1, -3, "abcd"), ShardFormat::kLlmc, ": its header says -3 tokens"},
      {Llmc(20240520, 1, 3, "abcd"), ShardFormat::kLlmc,
       ": has 1028 bytes where its header of 3 tokens asks for 1030; it is cut short, copy or pack "
       "it again",
       true},
      {Llmc(20240801, 7, 1, "abcdef"), ShardFormat::kLlmc,
       ": has 1030 bytes where its header of 1 tokens asks for 1028; something was appended to it, "
       "copy or pack it again"},
      {Llmc(20240520, 1, 2, "abcd"), ShardFormat::kRawU16,
       ": begins with an llm.c header; set its format to llmc, not u16"},
  };
  for (const Case& c : cases) {
    WriteText(path, c.contents);
    EXPECT_EQ(MessageOf<ShardError>([&] { TokenShard(path, c.format); }), path + c.message);
    EXPECT_EQ(IsUnavailable(path, c.format), c.unavailable) << c.message;
  }
  EXPECT_EQ(
      MessageOf<DataUnavailable>([&] { TokenShard(folder / "none.bin", ShardFormat::kLlmc); }),
      folder / "none.bin" + ": cannot be opened: No such file or directory");
  EXPECT_EQ(MessageOf<ShardError>([&] { TokenShard(folder.path(), ShardFormat::kLlmc); }),
            folder.path() + ": is not a regular file");
}

}  // namespace
}  // namespace loglog
