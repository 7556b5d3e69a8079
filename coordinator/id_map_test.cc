#include "coordinator/id_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

#include "coordinator/id_set.h"

namespace loglog {
namespace {

using ::testing::ElementsAre;

std::vector<int64_t> All(const IdSet& ids) { return {ids.begin(), ids.end()}; }

TEST(IdMapTest, HoldsWhatAMapHolds) {
  constexpr unsigned kSeed = 7;
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  IdMap<std::unique_ptr<int>> ids;
  std::map<int64_t, int> model;
  for (int i = 0; i < 20'000; ++i) {
    // Runs with gaps: more erased than made in one half of the ids.
    const int64_t id = 1 + static_cast<int64_t>(random() % 300);
    if (random() % 10 < (id < 150 ? 3 : 7)) {
      ids[id] = std::make_unique<int>(i);
      model[id] = i;
    } else {
      EXPECT_EQ(ids.erase(id), model.erase(id) == 1);
    }
    ASSERT_EQ(ids.size(), model.size());
  }
  for (int64_t id = 0; id < 320; ++id) {
    const auto expected = model.find(id);
    ASSERT_EQ(ids.contains(id), expected != model.end()) << id;
    if (expected == model.end()) continue;
    EXPECT_EQ(*ids.at(id), expected->second);
  }
}

TEST(IdMapTest, WhatIsMadeAgainIsNew) {
  IdMap<int> ids;
  ids[15] = 1;
  int* const neighbour = &(ids[16] = 2);
  EXPECT_TRUE(ids.erase(15));
  EXPECT_EQ(ids[15], 0);
  EXPECT_EQ(ids.find(16), neighbour);
  EXPECT_EQ(ids.find(17), nullptr);
}

TEST(IdSetTest, StaysInOrder) {
  IdSet ids;
  EXPECT_TRUE(ids.empty());
  EXPECT_TRUE(ids.insert(5));
  EXPECT_FALSE(ids.insert(5));
  EXPECT_THAT(All(ids), ElementsAre(5));
  EXPECT_TRUE(ids.insert(3));
  EXPECT_TRUE(ids.insert(7));
  EXPECT_FALSE(ids.insert(7));
  EXPECT_THAT(All(ids), ElementsAre(3, 5, 7));
  EXPECT_TRUE(ids.contains(7));
  ids.erase(3);
  ids.erase(4);
  ids.erase(7);
  EXPECT_THAT(All(ids), ElementsAre(5));
  ids.erase(5);
  EXPECT_TRUE(ids.empty());
  EXPECT_TRUE(ids.insert(9));
  EXPECT_EQ(ids.front(), 9);
}

TEST(IdSetTest, OneMayLeaveAndAnotherCome) {
  IdSet ids;
  ids.insert(1);
  ids.erase(1);
  EXPECT_TRUE(ids.empty());
  ids.insert(2);
  EXPECT_THAT(All(ids), ElementsAre(2));
}

}  // namespace
}  // namespace loglog
