// A share of the 10,000 problems that `fit_planted` runs.
#include "fit/study/planted.h"

#include <cmath>
#include <cstdio>
#include <iterator>

#include "gtest/gtest.h"

namespace loglog {
namespace {

TEST(PlantedStudy, AShareOfTheProblems) {
  const uint64_t seed = 1;
  const int count = 60 * static_cast<int>(std::size(kPlantedLaws));
  const std::vector<PlantedSummary> summaries = RunPlantedProblems(seed, 0, count, 1);
  std::printf("seed %llu\n%s", static_cast<unsigned long long>(seed),
              PlantedTable(summaries).c_str());
  ASSERT_EQ(summaries.size(), std::size(kPlantedLaws));
  int failed = 0;
  for (const PlantedSummary& s : summaries) {
    failed += s.not_converged;
    EXPECT_EQ(s.refused, 0) << LawName(s.law);
    // 60 intervals or more: .95 less three standard errors.
    EXPECT_GE(s.coverage, 0.865) << LawName(s.law);
    EXPECT_LT(std::fabs(s.bias), 0.5 * s.error) << LawName(s.law);
  }
  EXPECT_LE(failed, 1);
}

}  // namespace
}  // namespace loglog
