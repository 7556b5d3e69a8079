#ifndef LOGLOG_BENCH_MEDIAN_H_
#define LOGLOG_BENCH_MEDIAN_H_

#include <algorithm>
#include <cstddef>
#include <vector>

namespace loglog {

// The upper one of an even number of values; of at least one.
inline double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace loglog

#endif  // LOGLOG_BENCH_MEDIAN_H_
