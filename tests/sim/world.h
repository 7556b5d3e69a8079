#ifndef LOGLOG_TESTS_SIM_WORLD_H_
#define LOGLOG_TESTS_SIM_WORLD_H_

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>

#include "base/clock.h"

namespace loglog::sim {

// Time and chance of one simulated run: a queue of what is to happen, run in the order
// of its times on one thread. One seed, one run.
class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Milliseconds of the time that only the simulation knows.
  int64_t now_ms() const { return now_ms_; }
  void After(int64_t delay_ms, std::function<void()> action) {
    queue_.emplace(std::pair(now_ms_ + delay_ms, ++last_), std::move(action));
  }
  // Again and again, each time after what `action` returned; negative: no more.
  void Repeat(int64_t delay_ms, const std::function<int64_t()>& action) {
    After(delay_ms, [this, action] {
      const int64_t next_ms = action();
      if (next_ms >= 0) Repeat(next_ms, action);
    });
  }
  // Runs the next action; false when there is none before `until_ms`, which it then is.
  bool Step(int64_t until_ms);

  bool Chance(double probability) { return Uniform() < probability; }
  double Uniform() { return std::uniform_real_distribution<double>()(random_); }
  // Both included.
  int64_t Between(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  // Mostly short, sometimes long.
  int64_t About(int64_t mean_ms) {
    return static_cast<int64_t>(
        std::exponential_distribution<double>(1.0 / static_cast<double>(mean_ms))(random_));
  }

  // What happened, for people; kept only when asked for.
  void Note(const std::string& what);
  void SetVerbose(bool verbose) { verbose_ = verbose; }
  bool verbose() const { return verbose_; }

 private:
  std::mt19937_64 random_;
  int64_t now_ms_ = 1'000;
  int64_t last_ = 0;
  std::map<std::pair<int64_t, int64_t>, std::function<void()>> queue_;
  bool verbose_ = false;
};

// The clocks of one host: the monotonic one is a little fast or slow, the other one is
// off and jumps.
class HostClock : public Clock {
 public:
  // `rate`: 1.0001 gains 100 ppm.
  HostClock(const World* world, double rate, int64_t wall_offset_ms)
      : world_(world), rate_(rate), wall_offset_ms_(wall_offset_ms) {}
  int64_t monotonic_ms() const override {
    return 500'000 + static_cast<int64_t>(static_cast<double>(world_->now_ms()) * rate_);
  }
  int64_t wall_ms() const override {
    return 1'700'000'000'000 + world_->now_ms() + wall_offset_ms_;
  }
  void Jump(int64_t ms) { wall_offset_ms_ += ms; }

 private:
  const World* const world_;
  const double rate_;
  int64_t wall_offset_ms_;
};

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_WORLD_H_
