#include "cli/screen.h"

#include "cli/fixtures_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ScreenTest, EndedSweep) {
  EXPECT_EQ(RenderScreen(BuildScreen(DoneSweep()), {}),
            R"(demo  done   16 trials: 16 done
[################################] 100% of tokens
0.33 slot-hours used

final loss/val, mean over seeds
                D
  arm          1M        2M        4M       16M
  small  [2.9509]  [2.7724]  [2.6274]  [2.4139]
  large    3.4264    3.1586    2.9411    2.6209
  [ ] best of its column
)");
}

TEST(ScreenTest, RunningSweepShowsEtaWithRangeSlotsAndReasons) {
  CheckInput input = DoneSweep();
  input.sweep.set_state(v1::Sweep::ACTIVE);
  for (size_t i = 12; i < input.trials.size(); ++i) {
    v1::Trial& t = input.trials[i];
    t = MakeTrial(static_cast<int>(i) + 1, t.arm(), {}, t.tokens_planned(), t.seed(),
                  v1::Trial::PENDING, 0);
  }
  input.trials[12].set_state(v1::Trial::RUNNING);
  input.trials[12].set_step(input.trials[12].steps() / 2);
  input.trials[12].set_tokens(1'000'000);
  Recount(&input);
  input.sweep.set_slots_busy(1);
  input.sweep.set_tokens_per_second(52'000);
  input.sweep.set_slot_seconds_left(600);
  input.sweep.set_slot_seconds_left_low(500);
  input.sweep.set_slot_seconds_left_high(800);
  EXPECT_EQ(RenderScreen(BuildScreen(input), {}),
            R"(demo  active   16 trials: 12 done, 1 running, 3 pending
[##############################..] 94% of tokens   slots 1 of 2 busy   52k tokens/s
0.33 slot-hours used, 0.17 to go (0.14 to 0.22)   ETA 5m 00s (4m 10s to 6m 40s)
3 pending: waits for a free slot

final loss/val, mean over seeds
                 D
  arm           1M         2M         4M        16M
  small  [2.9480*]  [2.7696*]   [2.6274]   [2.4139]
  large    3.4230*    3.1554*     2.9411     2.6209
  [ ] best of its column   * seeds missing
)");
  EXPECT_EQ(RenderScreenLine(BuildScreen(input)),
            "demo active 94%  16 trials: 12 done, 1 running, 3 pending  "
            "ETA 5m 00s (4m 10s to 6m 40s)");
}

TEST(ScreenTest, GridOfTwoArmAxesIsTakenAtTheLargestFinishedScale) {
  std::vector<v1::Trial> trials;
  int number = 0;
  for (const char* gamma : {"0.5", "1.0"}) {
    for (const char* lambda : {"0", "0.1", "1.0"}) {
      for (const int64_t tokens : {1'000'000, 8'000'000}) {
        const std::string arm = std::string("gamma=") + gamma + ",lambda=" + lambda;
        const bool diverged = std::string(gamma) == "1.0" && std::string(lambda) == "1.0";
        ++number;
        trials.push_back(MakeTrial(number, arm, {{"gamma", gamma}, {"lambda", lambda}}, tokens, 0,
                                   diverged ? v1::Trial::DIVERGED : v1::Trial::DONE,
                                   4.0 - 0.01 * number - (tokens > 1'000'000 ? 1 : 0)));
      }
    }
  }
  EXPECT_EQ(RenderGrid(BuildGrid(trials), {}),
            R"(final loss/val at D = 8M, mean over seeds
           lambda
  gamma         0       0.1       1.0
  0.5      2.9800    2.9600    2.9400
  1.0      2.9200  [2.9000]         x
  [ ] best   x diverged
)");
}

TEST(ScreenTest, UnknownThroughputAndNoWorkersAreSaid) {
  CheckInput input = DoneSweep();
  input.sweep.set_state(v1::Sweep::ACTIVE);
  for (v1::Trial& t : input.trials) {
    t = MakeTrial(1, t.arm(), {}, t.tokens_planned(), t.seed(), v1::Trial::PENDING, 0);
  }
  Recount(&input);
  EXPECT_THAT(RenderScreen(BuildScreen(input), {}),
              HasSubstr("ETA not known yet: no throughput measured"));
  input.sweep.set_slot_seconds_left(100);
  input.sweep.set_slots_total(0);
  EXPECT_THAT(RenderScreen(BuildScreen(input), {}), HasSubstr("no worker is live"));
}

TEST(ScreenTest, GpusAreCalledGpus) {
  CheckInput input = DoneSweep();
  input.workers[0].set_device("NVIDIA H100");
  EXPECT_THAT(RenderScreen(BuildScreen(input), {}), HasSubstr("GPU-hours used"));
}

TEST(ScreenTest, NoEscapeWithoutColorAndSomeWith) {
  const Screen screen = BuildScreen(DoneSweep());
  EXPECT_THAT(RenderScreen(screen, {}), Not(HasSubstr("\x1b")));
  EXPECT_THAT(RenderScreen(screen, {.color = true}), HasSubstr("\x1b["));
}

}  // namespace
}  // namespace loglog::cli
