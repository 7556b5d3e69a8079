#include "bench/control/bench.h"

#include <algorithm>
#include <cmath>

namespace loglog::bench {

double SecondsSince(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

double Seconds(const std::function<void()>& work) {
  const auto start = SteadyClock::now();
  work();
  return SecondsSince(start);
}

double Quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double rank = share * static_cast<double>(values.size() - 1);
  return values[static_cast<size_t>(std::ceil(rank))];
}

void Latch::Down() {
  MutexLock lock(mutex_);
  --count_;
  changed_.NotifyAll();
}

void Latch::Wait() {
  constexpr int64_t kStuckMs = 120'000;
  MutexLock lock(mutex_);
  while (count_ > 0) {
    const int64_t before = count_;
    if (!changed_.WaitFor(mutex_, kStuckMs, [&] { return count_ != before; })) {
      std::fprintf(stderr, "stuck with %lld to go\n", static_cast<long long>(count_));
      std::_Exit(1);
    }
  }
}

void Samples::Add(double value) {
  MutexLock lock(mutex_);
  values_.push_back(value);
}

std::vector<double> Samples::Take() {
  MutexLock lock(mutex_);
  return std::exchange(values_, {});
}

std::vector<std::string> EndsWithUs(std::vector<std::string> argv) {
  argv.insert(argv.begin(), {"/usr/bin/setpriv", "--pdeathsig", "TERM", "--"});
  return argv;
}

}  // namespace loglog::bench
