#ifndef LOGLOG_BASE_NO_NUMBER_H_
#define LOGLOG_BASE_NO_NUMBER_H_

#include <limits>

namespace loglog {

// "There is no number here": a loss that was never reached, an interval's open end.
inline constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

}  // namespace loglog

#endif  // LOGLOG_BASE_NO_NUMBER_H_
