#include "trainer/step_ring.h"

#include <gtest/gtest.h>

#include <deque>
#include <stdexcept>
#include <vector>

namespace loglog {
namespace {

// A device that copies numbers to the host's slots when it is let, in order, and a clock that tells
// how far it is. Until a copy has ended its slot holds the number of an older step.
class SlowDevice final : public DeviceClock {
 public:
  explicit SlowDevice(size_t slots) : memory_(slots, -1), marks_(slots) {}

  void Copy(size_t slot, int number) { work_.push_back({slot, number}); }
  void Run(size_t copies) {
    for (; copies > 0 && !work_.empty(); --copies, ++done_) {
      memory_[work_.front().slot] = work_.front().number;
      work_.pop_front();
    }
  }
  int Read(size_t slot) const { return memory_[slot]; }
  int waits() const { return waits_; }

  void Mark(size_t slot) override { marks_[slot] = done_ + work_.size(); }
  bool Reached(size_t slot) override { return done_ >= marks_[slot]; }
  void Wait(size_t slot) override {
    ++waits_;
    while (!Reached(slot)) Run(1);
  }

 private:
  struct Work {
    size_t slot;
    int number;
  };
  std::vector<int> memory_;
  std::vector<size_t> marks_;
  std::deque<Work> work_;
  size_t done_ = 0;
  int waits_ = 0;
};

void Start(StepRing* ring, SlowDevice* device, int step) {
  device->Copy(ring->Begin(), step);
  ring->End();
}

TEST(StepRing, T30_ANumberIsReadAfterItsCopyHasEnded) {
  SlowDevice device(3);
  StepRing ring(3, device);
  EXPECT_EQ(ring.Take(true), std::nullopt);
  for (int step = 0; step < 3; ++step) Start(&ring, &device, step);
  EXPECT_TRUE(ring.full());
  EXPECT_EQ(ring.Take(false), std::nullopt);
  device.Run(2);
  for (int step = 0; step < 2; ++step) {
    const auto slot = ring.Take(false);
    ASSERT_TRUE(slot);
    EXPECT_EQ(device.Read(*slot), step);
  }
  EXPECT_EQ(ring.Take(false), std::nullopt);
  EXPECT_EQ(device.waits(), 0);
  const auto slot = ring.Take(true);
  ASSERT_TRUE(slot);
  EXPECT_EQ(device.Read(*slot), 2);
  EXPECT_EQ(device.waits(), 1);
  EXPECT_TRUE(ring.empty());
}

// A slot that is used again must not be taken for done because its last use was.
TEST(StepRing, AnOldMarkOfASlotCountsForNothing) {
  SlowDevice device(2);
  StepRing ring(2, device);
  Start(&ring, &device, 0);
  device.Run(1);
  EXPECT_TRUE(ring.Take(false));
  Start(&ring, &device, 1);
  Start(&ring, &device, 2);  // in the slot of step 0
  device.Run(1);
  EXPECT_EQ(device.Read(*ring.Take(false)), 1);
  EXPECT_EQ(ring.Take(false), std::nullopt);
  EXPECT_EQ(device.Read(*ring.Take(true)), 2);
}

TEST(StepRing, AFullRingHandsOutNothing) {
  SlowDevice device(1);
  StepRing ring(1, device);
  Start(&ring, &device, 0);
  EXPECT_THROW(ring.Begin(), std::logic_error);
  EXPECT_THROW(ring.End(), std::logic_error);
  EXPECT_TRUE(ring.Take(true));
  EXPECT_EQ(ring.Begin(), 0u);
}

TEST(StepRing, StepsComeInTheirOrderHoweverFastTheDeviceIs) {
  for (const size_t pace : {0, 1, 2, 5}) {
    SlowDevice device(4);
    StepRing ring(4, device);
    int next = 0;
    const auto take = [&](bool wait) {
      const auto slot = ring.Take(wait);
      if (!slot) return false;
      EXPECT_EQ(device.Read(*slot), next++);
      return true;
    };
    for (int step = 0; step < 50; ++step) {
      if (ring.full()) take(true);
      Start(&ring, &device, step);
      device.Run(pace);
      while (take(false)) {
      }
    }
    while (take(true)) {
    }
    EXPECT_EQ(next, 50);
  }
}

}  // namespace
}  // namespace loglog
