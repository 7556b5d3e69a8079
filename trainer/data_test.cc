#include "trainer/data.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "shards/pack.h"
#include "shards/test_files_testing.h"
#include "shards/token_shard.h"

namespace loglog {
namespace {

class DataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.model.seq_len = 8;
    config_.model.vocab = 256;
    config_.eval.tokens = 32;
    config_.train.tokens = config_.train.batch_tokens = 64;
  }
  void UsePackedText() {
    std::string text;
    for (int i = 0; i < 60; ++i) text += "line " + std::to_string(i) + "\n\n";
    WriteText(folder_ / "text", text);
    manifest_ = Pack({.inputs = {folder_ / "text"},
                      .output = folder_ / "packed",
                      .val_share = 0.2,
                      .documents = DocumentRule::kBlankLines});
    config_.data.train = {DataFormat::kLlmc, "packed/train-*.bin"};
    config_.data.val = {DataFormat::kLlmc, "packed/val-*.bin"};
  }
  std::vector<int32_t> Fill(const TrainingData& data, int64_t seed, int64_t position,
                            int64_t sequences) {
    std::vector<int32_t> out(static_cast<size_t>(sequences * 9));
    data.Fill(seed, position, sequences, out.data());
    return out;
  }

  TemporaryFolder folder_;
  MemberConfig config_;
  ShardManifest manifest_;
};

TEST_F(DataTest, BatchesAreAFunctionOfSeedAndPosition) {
  UsePackedText();
  const TrainingData data(config_, folder_.path());
  const auto whole = Fill(data, 1, 0, 50);
  auto joined = Fill(data, 1, 0, 20);
  const auto rest = Fill(data, 1, 20, 30);
  joined.insert(joined.end(), rest.begin(), rest.end());
  EXPECT_EQ(whole, joined);
  EXPECT_NE(whole, Fill(data, 2, 0, 50));
  ASSERT_TRUE(data.epoch_sequences());
  // Each epoch has every window once.
  const int64_t epoch = *data.epoch_sequences();
  auto sorted = [&](std::vector<int32_t> tokens) {
    std::vector<std::vector<int32_t>> windows;
    for (size_t i = 0; i < tokens.size(); i += 9) {
      windows.emplace_back(tokens.begin() + i, tokens.begin() + i + 9);
    }
    std::sort(windows.begin(), windows.end());
    return windows;
  };
  EXPECT_EQ(sorted(Fill(data, 1, 0, epoch)), sorted(Fill(data, 1, epoch, epoch)));
  EXPECT_NE(Fill(data, 1, 0, epoch), Fill(data, 1, epoch, epoch));
}

TEST_F(DataTest, HashIsTheManifestsAndFollowsContentsOnly) {
  UsePackedText();
  EXPECT_EQ(TrainingData(config_, folder_.path()).sha256(), manifest_.data_sha256);
  std::filesystem::remove(folder_ / "packed/manifest.json");
  EXPECT_EQ(TrainingData(config_, folder_.path()).sha256(), manifest_.data_sha256);
  std::filesystem::rename(folder_ / "packed", folder_ / "moved");
  config_.data.train.glob = "moved/train-*.bin";
  config_.data.val.glob = folder_ / "moved/val-*.bin";
  EXPECT_EQ(TrainingData(config_, folder_.path()).sha256(), manifest_.data_sha256);
}

TEST_F(DataTest, ValidationIsSpreadOverItsShards) {
  UsePackedText();
  const TrainingData data(config_, folder_.path());
  EXPECT_EQ(data.validation_sequences(), 4);
  EXPECT_FALSE(data.entropy_rate());
  EXPECT_FALSE(data.validation_floor());
  const TokenShard shard(folder_ / "packed/val-00000.bin", ShardFormat::kLlmc);
  const int64_t windows = (shard.tokens() - 1) / 8;
  ASSERT_GT(windows, 8);
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t t = 0; t < 9; ++t) {
      EXPECT_EQ(data.validation()[static_cast<size_t>(9 * i + t)],
                static_cast<int32_t>(shard.At(i * windows / 4 * 8 + t)));
    }
  }
  config_.eval.tokens = 1 << 20;  // more than there is: all of it
  EXPECT_EQ(TrainingData(config_, folder_.path()).validation_sequences(), (shard.tokens() - 1) / 8);
}

// Packed bytes put a token that is no byte of the text before each document.
TEST_F(DataTest, BytesOfThePackedTextAreKnown) {
  UsePackedText();
  const double tokens = static_cast<double>(manifest_.val.tokens);
  EXPECT_DOUBLE_EQ(TrainingData(config_, folder_.path()).eval_sets()[0].tokens_per_byte,
                   tokens / (tokens - static_cast<double>(manifest_.val.documents)));
  // Of another file than the manifest's the bytes are not known.
  std::filesystem::copy(folder_ / "packed/val-00000.bin", folder_ / "packed/other.bin");
  config_.data.val.glob = "packed/other.bin";
  EXPECT_EQ(TrainingData(config_, folder_.path()).eval_sets()[0].tokens_per_byte, 0);
  config_.data.val.glob = "packed/val-*.bin";
  std::filesystem::remove(folder_ / "packed/manifest.json");
  EXPECT_EQ(TrainingData(config_, folder_.path()).eval_sets()[0].tokens_per_byte, 0);
}

TEST_F(DataTest, DomainsAreMixedByWeightAndValidatedApart) {
  for (const auto& [name, id] : {std::pair<std::string, uint32_t>{"web", 3}, {"code", 9}}) {
    WriteLlmc(folder_ / (name + ".bin"), std::vector<uint32_t>(8 * 300 + 1, id));
    WriteLlmc(folder_ / (name + "-val.bin"), std::vector<uint32_t>(8 * 300 + 1, id + 1));
  }
  config_.eval.tokens = 8 * 40;
  config_.data.train = {DataFormat::kLlmc, "", "web 3 web.bin; code 1 code.bin"};
  config_.data.val = {DataFormat::kLlmc, "", "web 3 web-val.bin; code 1 code-val.bin"};
  const TrainingData data(config_, folder_.path());
  const auto tokens = Fill(data, 1, 0, 4096);
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), 3), 9 * 3072);
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), 9), 9 * 1024);
  ASSERT_EQ(data.eval_sets().size(), 3u);
  const auto& all = data.validation();
  EXPECT_EQ(std::count(all.begin(), all.end(), 4), 9 * 30);
  EXPECT_EQ(std::count(all.begin(), all.end(), 10), 9 * 10);
  EXPECT_EQ(data.eval_sets()[1].name, "web");
  EXPECT_EQ(data.eval_sets()[2].tokens, std::vector<int32_t>(9 * 20, 10));
  const auto frequencies = data.TokenFrequencies(256);
  EXPECT_NEAR(frequencies[4], 0.75, 1e-12);
  EXPECT_NEAR(frequencies[10], 0.25, 1e-12);
  EXPECT_FALSE(data.epoch_sequences());
}

TEST_F(DataTest, SyntheticDataKnowsItsEntropy) {
  config_.data.synthetic.contexts = 100;
  const TrainingData data(config_, "");
  ASSERT_TRUE(data.entropy_rate());
  EXPECT_GT(*data.entropy_rate(), 1);
  // 32 tokens are too few to hit the rate.
  const SyntheticSource source({.contexts = 100}, 256);
  double sum = 0;
  for (int64_t i = 0; i < 4; ++i) sum += source.NegLogLikelihood(&data.validation()[9 * i], 9);
  ASSERT_TRUE(data.validation_floor());
  EXPECT_DOUBLE_EQ(*data.validation_floor(), sum / 32);
  EXPECT_NE(*data.validation_floor(), *data.entropy_rate());
  EXPECT_FALSE(data.epoch_sequences());
  EXPECT_NE(Fill(data, 0, 0, 4), Fill(data, 1, 0, 4));
  EXPECT_NE(Fill(data, 0, 0, 4), data.validation());
  config_.seed = 1;
  EXPECT_EQ(TrainingData(config_, "").validation(), data.validation());
  EXPECT_EQ(TrainingData(config_, "").sha256(), data.sha256());
  config_.data.synthetic.seed = 1;
  EXPECT_NE(TrainingData(config_, "").sha256(), data.sha256());
}

TEST_F(DataTest, AFileOfBothSetsIsRefused) {
  UsePackedText();
  config_.data.train.glob = "packed/*.bin";
  const std::string message = MessageOf<ShardError>([&] { TrainingData(config_, folder_.path()); });
  EXPECT_EQ(message,
            "data.train.glob \"packed/*.bin\" and data.val.glob \"packed/val-*.bin\" both match " +
                folder_.path() +
                "/packed/val-00000.bin, which would be trained on and then validated on; make "
                "them match different files, such as train-*.bin and val-*.bin");
  // By another name it is the same file.
  std::filesystem::create_symlink(folder_ / "packed/train-00000.bin", folder_ / "val-link.bin");
  config_.data.train.glob = "packed/train-*.bin";
  config_.data.val.glob = "val-link.bin";
  EXPECT_NE(MessageOf<ShardError>([&] {
              TrainingData(config_, folder_.path());
            }).find("both match " + folder_.path() + "/val-link.bin"),
            std::string::npos);
}

TEST_F(DataTest, WhatThisHostLacksIsUnavailable) {
  UsePackedText();
  std::filesystem::remove(folder_ / "packed/manifest.json");
  const std::string hint = " (this host's data_root is " + folder_.path() +
                           "; loglog-worker takes another with --data-root)";
  const auto message = [&] {
    return MessageOf<DataUnavailable>([&] { TrainingData(config_, folder_.path()); });
  };
  std::filesystem::resize_file(folder_ / "packed/train-00000.bin", 1100);
  EXPECT_EQ(message().find(folder_ / "packed/train-00000.bin: has 1100 bytes where"), 0u);
  EXPECT_NE(message().find("it is cut short, copy or pack it again" + hint), std::string::npos);
  std::filesystem::remove(folder_ / "packed/train-00000.bin");
  EXPECT_EQ(message().find("no file matches " + folder_.path() + "/packed/train-*.bin;"), 0u);
  EXPECT_NE(message().find(hint), std::string::npos);
}

TEST_F(DataTest, TokenOutsideTheVocabularyIsFoundAtTheStart) {
  UsePackedText();
  config_.model.vocab = 110;  // 'n' is 110
  const std::string message = MessageOf<ShardError>([&] { TrainingData(config_, folder_.path()); });
  EXPECT_EQ(message.find(folder_ / "packed/train-00000.bin: token 3 (byte 1030) is id 110, outside "
                                   "the vocabulary of 110"),
            0u)
      << message;
}

TEST_F(DataTest, GeneratedTasksBringTheirOwnSets) {
  config_.model.seq_len = 3;
  config_.data.train.format = config_.data.val.format = DataFormat::kWindows;
  const TrainingData data(config_, folder_.path());
  ASSERT_EQ(data.eval_sets().size(), 2u);
  EXPECT_EQ(data.validation_sequences(), 720);
  EXPECT_EQ(data.Sequences(data.eval_sets()[1]), 304);
  EXPECT_FALSE(data.epoch_sequences());
  std::vector<int32_t> together(8), second(4);
  data.Fill(1, 6, 2, together.data());
  data.Fill(1, 7, 1, second.data());
  EXPECT_TRUE(std::equal(second.begin(), second.end(), together.begin() + 4));
  const std::string sha256 = data.sha256();
  config_.data.windows.seed = 1;
  EXPECT_NE(TrainingData(config_, folder_.path()).sha256(), sha256);
}

}  // namespace
}  // namespace loglog
