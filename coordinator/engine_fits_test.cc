// The fits that a sweep keeps up to date by itself.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "coordinator/engine.h"
#include "coordinator/engine_testing.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

using ::testing::HasSubstr;

using EngineFitsTest = EngineWorld;

double LossOf(const TaskOrder& order) {
  const auto task = nlohmann::json::parse(order.task_json);
  const double seed = task["members"][0]["seed"].get<double>();
  return (2.0 + 30 * std::pow(task["token_end"].get<double>(), -0.3)) * (1 + 0.001 * seed);
}

TEST_F(EngineFitsTest, TheJointFormOfASpecIsKeptUpToDate) {
  const std::string more =
      "fit: [{form: \"E + A*N^-alpha + B*D^-beta\", by: arm}, {compare: [b, a]}]\n";
  ASSERT_TRUE(Submit(TinySpec("s", 4, 2, more)).ok());
  FakeWorker worker(engine_.get(), "w");
  ASSERT_TRUE(worker.Register().ok());
  EXPECT_EQ(worker.WorkOff(LossOf), 16);
  const auto count = [](const std::vector<FitView>& all, const std::string& kind) {
    return std::count_if(all.begin(), all.end(), [&](const FitView& fit) {
      return fit.row.kind == kind && fit.row.n_trials == (kind == "comparison" ? 16 : 8);
    });
  };
  const std::vector<FitView> fits = WaitForFits("s", [&](const std::vector<FitView>& all) {
    return count(all, "joint") == 2 && count(all, "comparison") == 1;
  });
  for (const FitView& fit : fits) {
    if (fit.row.kind == "comparison") {
      EXPECT_EQ(nlohmann::json::parse(fit.row.fit_json)["provenance"]["holm"]["m"], 1);
    }
    if (fit.row.kind != "joint") continue;
    // One size is too few, and it says so.
    EXPECT_EQ(fit.row.verdict, "REFUSED");
    EXPECT_THAT(fit.row.message, HasSubstr("five parameters need 6 configurations"));
  }
  const auto asked = Call<FitView>([&](auto reply) {
    engine_->CreateFit("s", {"joint", Axis::kTokens, "a", ""}, reply);
  });
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_EQ(asked->row.kind, "joint");
}

}  // namespace
}  // namespace loglog
