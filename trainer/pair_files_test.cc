#include "trainer/pair_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "shards/test_files_testing.h"
#include "shards/token_shard.h"
#include "trainer/generators.h"

namespace loglog {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kScan[] = "IN: walk twice OUT: I_WALK I_WALK\n\nIN: jump OUT: I_JUMP\n";
constexpr char kCogs[] =
    "A rose was helped . \trose ( x _ 1 )\tin_distribution\n"
    "Emma ran . \trun ( Emma )\tprim_to_subj\r\n";
constexpr char kProntoqa[] = R"({
  "example1": {
    "in_context_example0": {"question": "Q.", "query": "P", "chain_of_thought": [], "answer": "x"},
    "test_example": {"question": "Every cat is small. Sam is a cat.", "query": "Prove: Sam is small.",
                     "chain_of_thought": ["Sam is a cat.", "Sam is small."], "answer": "True"}}})";

TEST(PairFiles, AreReadAsTheirAuthorsWriteThem) {
  TemporaryFolder folder;
  WriteText(folder / "scan", kScan);
  WriteText(folder / "cogs", kCogs);
  WriteText(folder / "prontoqa", kProntoqa);
  const auto scan = ReadPairFile(DataFormat::kScan, folder / "scan");
  ASSERT_EQ(scan.size(), 2u);
  EXPECT_THAT(scan[0].input, ElementsAre("walk", "twice"));
  EXPECT_THAT(scan[0].output, ElementsAre("I_WALK", "I_WALK"));
  EXPECT_EQ(scan[1].place, folder / "scan:3");
  const auto cogs = ReadPairFile(DataFormat::kCogs, folder / "cogs");
  ASSERT_EQ(cogs.size(), 2u);
  EXPECT_THAT(cogs[0].input, ElementsAre("A", "rose", "was", "helped", "."));
  EXPECT_THAT(cogs[0].output, ElementsAre("rose", "(", "x", "_", "1", ")"));
  EXPECT_EQ(cogs[1].kind, "prim_to_subj");
  const auto prontoqa = ReadPairFile(DataFormat::kProntoqa, folder / "prontoqa");
  ASSERT_EQ(prontoqa.size(), 1u);
  EXPECT_THAT(prontoqa[0].input, ElementsAre("Every", "cat", "is", "small", ".", "Sam", "is", "a",
                                             "cat", ".", "Prove", ":", "Sam", "is", "small", "."));
  EXPECT_THAT(prontoqa[0].output,
              ElementsAre("Sam", "is", "a", "cat", ".", "Sam", "is", "small", ".", "True"));
}

TEST(PairFiles, RefusalsNameTheLineAndTheForm) {
  TemporaryFolder folder;
  const auto refusal = [&](DataFormat format, const std::string& text) {
    WriteText(folder / "file", text);
    return MessageOf<ShardError>([&] { ReadPairFile(format, folder / "file"); });
  };
  EXPECT_THAT(refusal(DataFormat::kScan, "IN: a OUT: b\nIN: c\n"),
              HasSubstr("/file:2: is not of the form \"IN: <words> OUT: <words>\""));
  EXPECT_THAT(refusal(DataFormat::kScan, "IN: OUT: b\n"), HasSubstr("/file:1: is not of the form"));
  EXPECT_THAT(refusal(DataFormat::kScan, "IN:  OUT: b\n"),
              HasSubstr("/file:1: has an empty input"));
  EXPECT_THAT(refusal(DataFormat::kCogs, "a\tb\n"), HasSubstr("three columns of COGS"));
  EXPECT_THAT(refusal(DataFormat::kCogs, "a\tb\tc\td\n"), HasSubstr("three columns of COGS"));
  EXPECT_THAT(refusal(DataFormat::kScan, "\n"), HasSubstr("holds no example"));
  EXPECT_THAT(refusal(DataFormat::kProntoqa, "[1]"), HasSubstr("not an object of examples"));
  EXPECT_THAT(refusal(DataFormat::kProntoqa, R"({"example7": {"test_example": {"question": 3}}})"),
              HasSubstr("/file: example7: is not as PrOntoQA writes it"));
  EXPECT_THAT(refusal(DataFormat::kProntoqa, std::string(40, '[')), HasSubstr("nested too deeply"));
}

class PairsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteText(folder_ / "train.txt", "IN: walk OUT: I_WALK\nIN: jump OUT: I_JUMP I_JUMP\n");
    WriteText(folder_ / "ood.txt", "IN: jump walk OUT: I_JUMP I_WALK\n");
    data_.train = {DataFormat::kScan, "train.txt"};
    data_.val = {DataFormat::kScan, "ood.txt"};
  }
  std::unique_ptr<Generator> Make() {
    return MakeGenerator(data_, {.vocab = 7, .seq_len = 5}, folder_.path());
  }

  TemporaryFolder folder_;
  DataConfig data_;
};

TEST_F(PairsTest, PredictsTheOutputAlone) {
  const auto generator = Make();
  // Words sort as I_JUMP 3, I_WALK 4, jump 5, walk 6; 0 pads, 1 parts, 2 ends.
  std::vector<int32_t> tokens(2 * 6);
  generator->Fill(1, 0, tokens.data());
  generator->Fill(1, 1, tokens.data() + 6);
  if (tokens[0] == ~6) std::rotate(tokens.begin(), tokens.begin() + 6, tokens.end());
  EXPECT_THAT(tokens, ElementsAre(~5, ~1, 3, 3, 2, ~0, ~6, ~1, 4, 2, ~0, ~0));
  EXPECT_EQ(generator->EpochSequences(), 2);
  const auto sets = generator->EvalSets(10);
  ASSERT_EQ(sets.size(), 1u);
  EXPECT_EQ(sets[0].name, "ood");
  EXPECT_EQ(sets[0].width, 6);
  EXPECT_EQ(sets[0].report, EvalSet::Report::kLossAndExact);
  EXPECT_THAT(sets[0].tokens, ElementsAre(~5, ~6, ~1, 3, 4, 2));
}

TEST_F(PairsTest, EveryExampleOnceAnEpochInAnOrderOfItsOwn) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += "IN: w" + std::to_string(i) + " OUT: x\n";
  WriteText(folder_ / "train.txt", text);
  WriteText(folder_ / "ood.txt", "IN: w1 w2 OUT: x\n");
  const auto generator = MakeGenerator(data_, {.vocab = 50, .seq_len = 5}, folder_.path());
  const auto epoch = [&](uint64_t seed, int64_t number) {
    std::vector<int32_t> firsts;
    for (int64_t i = 0; i < 40; ++i) {
      int32_t sequence[6];
      generator->Fill(seed, 40 * number + i, sequence);
      firsts.push_back(sequence[0]);
    }
    return firsts;
  };
  auto one = epoch(1, 0), two = epoch(1, 1), other = epoch(2, 0);
  EXPECT_NE(one, two);
  EXPECT_NE(one, other);
  for (auto* order : {&one, &two, &other}) std::sort(order->begin(), order->end());
  EXPECT_EQ(one, two);
  EXPECT_EQ(std::unique(one.begin(), one.end()), one.end());
  EXPECT_EQ(one, other);
}

TEST_F(PairsTest, KindsAreSetsOfTheirOwn) {
  data_.train.format = data_.val.format = DataFormat::kCogs;
  WriteText(folder_ / "train.txt", "a\tb\tin\n");
  WriteText(folder_ / "ood.txt", "a\tb\tfirst\nb\ta\tsecond\nb\tb\tfirst\n");
  const auto sets = MakeGenerator(data_, {.vocab = 5, .seq_len = 5}, folder_.path())->EvalSets(10);
  ASSERT_EQ(sets.size(), 3u);
  EXPECT_EQ(sets[0].tokens.size(), 18u);
  EXPECT_EQ(sets[1].name, "ood.first");
  EXPECT_EQ(sets[1].tokens.size(), 12u);
  EXPECT_EQ(sets[2].name, "ood.second");
}

TEST_F(PairsTest, RefusalsNameTheFix) {
  EXPECT_EQ(MessageOf<ConfigError>(
                [&] { MakeGenerator(data_, {.vocab = 6, .seq_len = 5}, folder_.path()); }),
            "model.vocab is 6, and the 4 words of data.train.glob and data.val.glob with three "
            "marks need 7; raise it to that");
  EXPECT_EQ(MessageOf<ConfigError>(
                [&] { MakeGenerator(data_, {.vocab = 7, .seq_len = 4}, folder_.path()); }),
            "model.seq_len is 4, and the example at " + folder_.path() +
                "/ood.txt:1 takes 6 tokens; raise it to at least 5");
  data_.val.glob = "*.txt";
  EXPECT_THAT(MessageOf<ShardError>([&] { Make(); }), HasSubstr("both match"));
}

// What is trained and asked is part of a checkpoint's identity.
TEST_F(PairsTest, DescriptionFollowsTheContents) {
  const std::string before = Make()->Description();
  WriteText(folder_ / "ood.txt", "IN: walk jump OUT: I_JUMP I_WALK\n");
  EXPECT_NE(Make()->Description(), before);
}

}  // namespace
}  // namespace loglog
