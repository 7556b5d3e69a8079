#include "trainer/generators.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <tuple>

namespace loglog {
namespace {

using testing::HasSubstr;

int32_t Id(int32_t token) { return token < 0 ? ~token : token; }

const EvalSet& Find(const std::vector<EvalSet>& sets, const std::string& name) {
  for (const EvalSet& set : sets) {
    if (set.name == name) return set;
  }
  ADD_FAILURE() << "no set " << name;
  return sets[0];
}

template <typename Make>
std::string Refusal(Make make) {
  try {
    make();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

std::vector<int32_t> Sequence(const Generator& generator, uint64_t seed, int64_t position,
                              size_t width) {
  std::vector<int32_t> sequence(width);
  generator.Fill(seed, position, sequence.data());
  return sequence;
}

TEST(Windows, AnswersAreComposedPermutationsOfDisjointPairs) {
  const ModelConfig model{.vocab = 24, .seq_len = 3};
  const auto generator = MakeWindowsGenerator({}, model);
  const auto sets = generator->EvalSets(1);
  ASSERT_EQ(sets.size(), 2u);
  EXPECT_EQ(sets[0].name, "id");
  EXPECT_EQ(sets[0].tokens.size(), 720u * 4);
  EXPECT_EQ(sets[1].tokens.size(), 304u * 4);
  std::map<std::pair<int, int>, std::map<int, int>> table;
  for (const EvalSet& set : sets) {
    for (size_t i = 0; i < set.tokens.size(); i += 4) {
      for (int j = 0; j < 3; ++j) EXPECT_LT(set.tokens[i + j], 0);
      table[{Id(set.tokens[i + 1]), Id(set.tokens[i + 2])}][Id(set.tokens[i])] = set.tokens[i + 3];
    }
  }
  ASSERT_EQ(table.size(), 64u);
  // With p_ab = pi_b pi_a: p_ab p_db^-1 = pi_b (pi_a pi_d^-1) pi_b^-1 has the same cycles for
  // every b, whatever the permutations are.
  const auto cycle_type = [&](int a, int d, int b) {
    std::map<int, int> back, map;
    for (const auto& [key, answer] : table[{d, b}]) back[answer] = key;
    for (const auto& [answer, key] : back) map[answer] = table[{a, b}][key];
    std::multiset<int> lengths;
    std::set<int> seen;
    for (const auto& [start, unused] : map) {
      int length = 0;
      for (int at = start; seen.insert(at).second; at = map[at]) ++length;
      if (length > 0) lengths.insert(length);
    }
    return lengths;
  };
  for (const auto& [pair, answers] : table) {
    std::set<int> distinct;
    for (const auto& [key, answer] : answers) distinct.insert(answer);
    EXPECT_EQ(distinct.size(), 16u);
    EXPECT_EQ(*distinct.rbegin(), 15);
  }
  for (int b = 17; b < 24; ++b) EXPECT_EQ(cycle_type(16, 17, b), cycle_type(16, 17, 16));
}

TEST(Windows, TrainingShowsTheTrainedPairsOnly) {
  const auto generator = MakeWindowsGenerator({}, {.vocab = 24, .seq_len = 3});
  std::set<std::vector<int32_t>> trained, seen;
  const EvalSet id = generator->EvalSets(1)[0];
  for (size_t i = 0; i < id.tokens.size(); i += 4) {
    trained.insert({id.tokens.begin() + i, id.tokens.begin() + i + 4});
  }
  for (int64_t i = 0; i < 20'000; ++i) seen.insert(Sequence(*generator, 3, i, 4));
  EXPECT_EQ(seen, trained);
  EXPECT_EQ(Sequence(*generator, 3, 5, 4), Sequence(*generator, 3, 5, 4));
  int differ = 0;
  for (int64_t i = 0; i < 20; ++i) {
    differ += Sequence(*generator, 3, i, 4) != Sequence(*generator, 4, i, 4) ? 1 : 0;
  }
  EXPECT_GT(differ, 15);
}

TEST(Windows, RefusesWhatDoesNotFit) {
  EXPECT_EQ(Refusal([] { MakeWindowsGenerator({}, {.vocab = 24, .seq_len = 4}); }),
            "model.seq_len is 4, and data of format windows have 3 tokens before the answer; set "
            "it to that");
  EXPECT_EQ(Refusal([] { MakeWindowsGenerator({}, {.vocab = 23, .seq_len = 3}); }),
            "model.vocab is 23, and data.windows needs an id for each of 24 keys and anchors; "
            "raise it");
  EXPECT_THAT(
      Refusal([] { MakeWindowsGenerator({.train_pairs = 64}, {.vocab = 24, .seq_len = 3}); }),
      HasSubstr("of which some must stay untrained"));
}

struct Example {
  int32_t key, position, first, second, shift;
};

Example Decode(const int32_t* sequence) {
  Example found{.position = -1};
  for (int32_t i = 0; i < 8; ++i) {
    if (Id(sequence[i]) > 4) continue;
    EXPECT_LE(Id(sequence[i + 1]), 4);
    found = {.key = Id(sequence[i - 1]),
             .position = i - 1,
             .first = Id(sequence[i]),
             .second = Id(sequence[i + 1])};
    break;
  }
  found.shift = sequence[9] - found.key;
  return found;
}

const ModelConfig kAnchorModel{.vocab = 201, .seq_len = 9};

// f = g(g(x; a); b) with the paper's g, spelled out.
int32_t Composed(int32_t a, int32_t b) {
  const std::map<int32_t, int32_t> g = {{1, 5}, {2, 1}, {3, -2}, {4, -8}};
  return g.at(a) + g.at(b);
}

TEST(Anchor, TrainsOnTheSeenPairsAndKeys) {
  for (const AnchorProtocol protocol :
       {AnchorProtocol::kWithout34, AnchorProtocol::kNoninferential34, AnchorProtocol::kAll}) {
    const auto generator = MakeAnchorGenerator({.protocol = protocol}, kAnchorModel);
    std::set<std::pair<int32_t, int32_t>> pairs;
    std::set<int32_t> positions;
    for (int64_t i = 0; i < 5'000; ++i) {
      const auto sequence = Sequence(*generator, 1, i, 10);
      for (int j = 0; j < 9; ++j) EXPECT_LT(sequence[j], 0);
      const Example e = Decode(sequence.data());
      EXPECT_NE(e.key % 7, e.position);
      const bool special =
          protocol == AnchorProtocol::kNoninferential34 && e.first == 3 && e.second == 4;
      EXPECT_EQ(e.shift, special ? -6 : Composed(e.first, e.second));
      pairs.insert({e.first, e.second});
      positions.insert(e.position);
    }
    EXPECT_EQ(pairs.count({4, 3}), protocol == AnchorProtocol::kAll);
    EXPECT_EQ(pairs.count({3, 4}), protocol != AnchorProtocol::kWithout34);
    EXPECT_EQ(positions, (std::set<int32_t>{0, 1, 2, 3, 4, 5, 6}));
  }
}

TEST(Anchor, EvalSetsAskWhatTheirNamesSay) {
  const auto generator = MakeAnchorGenerator({}, kAnchorModel);
  const auto sets = generator->EvalSets(300);
  EXPECT_EQ(sets[0].name, "id");
  const auto each = [&](const std::string& name, const auto& check) {
    const EvalSet& set = Find(sets, name);
    EXPECT_EQ(set.tokens.size(), 300u * 10);
    for (size_t i = 0; i < set.tokens.size(); i += 10) check(Decode(&set.tokens[i]));
  };
  const auto unseen = [](const Example& e) {
    return e.first + e.second == 7 && e.first != e.second;
  };
  each("id", [&](const Example& e) {
    EXPECT_EQ(e.key % 7, e.position);
    EXPECT_FALSE(unseen(e));
    EXPECT_EQ(e.shift, Composed(e.first, e.second));
  });
  each("ood", [&](const Example& e) {
    EXPECT_NE(e.key % 7, e.position);
    EXPECT_TRUE(unseen(e));
    EXPECT_EQ(e.shift, -10);
  });
  each("probe_12", [&](const Example& e) {
    EXPECT_EQ(e.key % 7, e.position);
    EXPECT_EQ(std::tuple(e.first, e.second, e.shift), std::tuple(1, 2, 6));
  });
  each("probe_43", [&](const Example& e) {
    EXPECT_NE(e.key % 7, e.position);
    EXPECT_EQ(std::tuple(e.first, e.second, e.shift), std::tuple(4, 3, -10));
  });
  each("symmetric", [&](const Example& e) { EXPECT_EQ(e.shift, -6); });
  const EvalSet& pairs = Find(sets, "commutative");
  for (size_t i = 0; i < pairs.tokens.size(); i += 20) {
    const Example a = Decode(&pairs.tokens[i]), b = Decode(&pairs.tokens[i + 10]);
    EXPECT_EQ(std::tuple(a.key, a.position, a.first, a.second),
              std::tuple(b.key, b.position, b.second, b.first));
  }
}

TEST(Anchor, NoiseGroupsAnswerOtherwise) {
  const auto generator =
      MakeAnchorGenerator({.protocol = AnchorProtocol::kAll, .noise_groups = 2}, kAnchorModel);
  for (int64_t i = 0; i < 2'000; ++i) {
    const Example e = Decode(Sequence(*generator, 1, i, 10).data());
    const std::pair<int32_t, int32_t> pair = std::minmax(e.first, e.second);
    int32_t expected = Composed(e.first, e.second);
    if (pair == std::pair(1, 2)) expected = 4;
    if (pair == std::pair(1, 3)) expected = 1;
    EXPECT_EQ(e.shift, expected);
  }
}

// Noise is what training says; of a pair that is not trained the answer is composed.
TEST(Anchor, UntrainedPairsAreAskedForTheComposedAnswerWhateverTheNoise) {
  for (const AnchorProtocol protocol :
       {AnchorProtocol::kWithout34, AnchorProtocol::kNoninferential34}) {
    const auto generator =
        MakeAnchorGenerator({.protocol = protocol, .noise_groups = 6}, kAnchorModel);
    const auto sets = generator->EvalSets(20);
    for (const char* name : {"ood", "probe_43"}) {
      const EvalSet& set = Find(sets, name);
      for (size_t i = 0; i < set.tokens.size(); i += 10) {
        EXPECT_EQ(Decode(&set.tokens[i]).shift, -10) << name;
      }
    }
    EXPECT_EQ(Decode(Find(sets, "probe_12").tokens.data()).shift, 4);
  }
}

TEST(Anchor, EvalSetsHaveASequenceHoweverFewAreAskedFor) {
  for (const EvalSet& set : MakeAnchorGenerator({}, kAnchorModel)->EvalSets(1)) {
    EXPECT_GE(set.tokens.size(), 10u) << set.name;
  }
}

TEST(Anchor, RefusesWhatDoesNotFit) {
  EXPECT_THAT(Refusal([] { MakeAnchorGenerator({}, {.vocab = 201, .seq_len = 8}); }),
              HasSubstr("model.seq_len is 8, and data of format anchor have 9 tokens"));
  EXPECT_THAT(Refusal([] { MakeAnchorGenerator({}, {.vocab = 109, .seq_len = 9}); }),
              HasSubstr("make it at least 110"));
}

int64_t NumberAt(const int32_t* tokens, int64_t digits) {
  int64_t number = 0;
  for (int64_t i = 0; i < digits; ++i) number = 10 * number + Id(tokens[i]);
  return number;
}

TEST(Addition, SumsAreRightAndTheHoleIsNeverTrained) {
  const ModelConfig model{.vocab = 12, .seq_len = 11};
  const auto generator = MakeAdditionGenerator({}, model);
  const auto pair_of = [](const int32_t* tokens) {
    const int64_t a = NumberAt(tokens, 3), b = NumberAt(tokens + 4, 3);
    EXPECT_EQ(tokens[3], ~10);
    EXPECT_EQ(tokens[7], ~11);
    EXPECT_EQ(NumberAt(tokens + 8, 4), a + b);
    for (int i = 0; i < 12; ++i) EXPECT_EQ(tokens[i] >= 0, i >= 8);
    return std::pair(a, b);
  };
  const auto in_hole = [](const std::pair<int64_t, int64_t>& pair) {
    return pair.first >= 400 && pair.first <= 600 && pair.second >= 400 && pair.second <= 600;
  };
  std::set<std::pair<int64_t, int64_t>> trained;
  for (int64_t i = 0; i < 20'000; ++i) {
    trained.insert(pair_of(Sequence(*generator, 1, i, 12).data()));
  }
  EXPECT_GT(trained.size(), 19'000u);
  for (const auto& pair : trained) EXPECT_FALSE(in_hole(pair));
  const auto sets = generator->EvalSets(2'000);
  for (const bool hole : {false, true}) {
    const EvalSet& set = Find(sets, hole ? "ood" : "id");
    ASSERT_EQ(set.tokens.size(), 2'000u * 12);
    EXPECT_EQ(set.width, 12);
    for (size_t i = 0; i < set.tokens.size(); i += 12) {
      const auto pair = pair_of(&set.tokens[i]);
      EXPECT_EQ(in_hole(pair), hole);
      EXPECT_EQ(trained.count(pair), 0u);
    }
  }
  EXPECT_EQ(sets[0].name, "id");
}

TEST(Addition, RefusesWhatDoesNotFit) {
  const auto refusal = [](const AdditionConfig& config, const ModelConfig& model) {
    return Refusal([&] { MakeAdditionGenerator(config, model); });
  };
  EXPECT_THAT(refusal({}, {.vocab = 12, .seq_len = 12}),
              HasSubstr("have 11 tokens before the last"));
  EXPECT_THAT(refusal({}, {.vocab = 11, .seq_len = 11}), HasSubstr("addition needs 12 ids"));
  EXPECT_THAT(refusal({.digits = 2}, {.vocab = 12, .seq_len = 8}), HasSubstr("0 to 99"));
  EXPECT_THAT(refusal({.hole_begin = 1, .hole_end = 998}, {.vocab = 12, .seq_len = 11}),
              HasSubstr("leave 2 of 1000 numbers outside the hole"));
}

TEST(Markov, FollowsItsTransitions) {
  const MarkovConfig config{.stay = 0.3, .pi = "0.6 0.3 0.1"};
  const auto generator = MakeMarkovGenerator(config, {.vocab = 3, .seq_len = 63});
  double from[3] = {}, to[3][3] = {};
  for (int64_t i = 0; i < 4'000; ++i) {
    const auto sequence = Sequence(*generator, 1, i, 64);
    for (int t = 0; t + 1 < 64; ++t) {
      from[sequence[t]] += 1;
      to[sequence[t]][sequence[t + 1]] += 1;
    }
  }
  const double pi[] = {0.6, 0.3, 0.1};
  double entropy = 0;
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(from[i] / (4'000 * 63), pi[i], 0.01);
    for (int j = 0; j < 3; ++j) {
      const double p = 0.7 * pi[j] + (i == j ? 0.3 : 0);
      EXPECT_NEAR(to[i][j] / from[i], p, 0.015);
      entropy -= pi[i] * p * std::log(p);
    }
  }
  EXPECT_NEAR(*generator->EntropyRate(), entropy, 1e-12);
}

TEST(Markov, RefusesWhatIsNoLaw) {
  const auto refusal = [](const std::string& pi) {
    return Refusal([&] { MakeMarkovGenerator({.pi = pi}, {.vocab = 4, .seq_len = 8}); });
  };
  EXPECT_THAT(refusal("0.5 x"), HasSubstr("data.markov.pi has the entry 'x'"));
  EXPECT_THAT(refusal("0.5 0.4"), HasSubstr("give at least two with the sum 1"));
  EXPECT_THAT(refusal("0.2 0.2 0.2 0.2 0.2"), HasSubstr("data.markov.pi has 5 states"));
  EXPECT_EQ(refusal("0.5 0.5"), "accepted");
}

}  // namespace
}  // namespace loglog
