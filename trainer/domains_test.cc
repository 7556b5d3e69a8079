#include "trainer/domains.h"

#include <gtest/gtest.h>

#include <set>

#include "shards/test_files_testing.h"
#include "trainer/config.h"

namespace loglog {
namespace {

std::string Refusal(const std::string& text) {
  return MessageOf<ConfigError>([&] { DomainMix(ParseDomains(text, "data.f"), "data.f"); });
}

TEST(Domains, AreReadAndRefused) {
  const auto domains = ParseDomains("web 0.7 web/t-*.bin;  code-2 3 code/*.bin", "f");
  ASSERT_EQ(domains.size(), 2u);
  EXPECT_EQ(domains[1].name, "code-2");
  EXPECT_EQ(domains[1].weight, 3);
  EXPECT_EQ(domains[0].glob, "web/t-*.bin");
  EXPECT_NE(Refusal("web 0.7x a").find("has the part \"web 0.7x a\""), std::string::npos);
  EXPECT_NE(Refusal("web 0 a").find("a weight above 0"), std::string::npos);
  EXPECT_NE(Refusal("w/b 1 a").find("a name of letters"), std::string::npos);
  EXPECT_NE(Refusal("web 1 a b").find("has the part"), std::string::npos);
  EXPECT_EQ(Refusal("web 1 a; web 2 b"), "data.f has two domains called web; name them apart");
  EXPECT_NE(Refusal("web 1 a; code 0.0001 b").find("data.f gives code a share of 0.000100, under"),
            std::string::npos);
}

// Every block has each domain's share, and no sequence of a domain is passed over or given twice.
TEST(DomainMix, GivesEverySequenceOfADomainOnceInItsShare) {
  const DomainMix mix(ParseDomains("a 1 x; b 0.5 y; c 2.5 z", "f"), "f");
  std::set<int64_t> seen[3];
  constexpr int64_t kBlocks = 3;
  for (int64_t block = 0; block < kBlocks; ++block) {
    for (int64_t i = 0; i < DomainMix::kBlock; ++i) {
      const auto place = mix.At(7, block * DomainMix::kBlock + i);
      EXPECT_TRUE(seen[place.domain].insert(place.position).second);
    }
    EXPECT_EQ(seen[0].size(), static_cast<size_t>((block + 1) * 1024));
    EXPECT_EQ(seen[1].size(), static_cast<size_t>((block + 1) * 512));
    EXPECT_EQ(seen[2].size(), static_cast<size_t>((block + 1) * 2560));
  }
  for (const auto& positions : seen) {
    EXPECT_EQ(*positions.begin(), 0);
    EXPECT_EQ(*positions.rbegin(), static_cast<int64_t>(positions.size()) - 1);
  }
  const std::vector<int64_t> enough(3, 100);
  EXPECT_EQ(mix.Split(8, enough), (std::vector<int64_t>{2, 1, 5}));
  EXPECT_EQ(mix.Split(1, enough)[1], 1);
  // The shares hold where one domain has too few, and the others go without.
  EXPECT_EQ(mix.Split(80, {100, 5, 100}), (std::vector<int64_t>{10, 5, 25}));
  EXPECT_EQ(mix.Split(80, {1, 1, 1}), (std::vector<int64_t>{1, 1, 1}));
}

TEST(DomainMix, OrderIsMixedAndOfTheSeed) {
  const DomainMix mix(ParseDomains("a 1 x; b 1 y", "f"), "f");
  int changes = 0, differ = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    changes += mix.At(1, i).domain != mix.At(1, i + 1).domain ? 1 : 0;
    differ += mix.At(1, i).domain != mix.At(2, i).domain ? 1 : 0;
  }
  EXPECT_NEAR(changes, 500, 80);
  EXPECT_NEAR(differ, 500, 80);
}

}  // namespace
}  // namespace loglog
