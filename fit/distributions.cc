#include "fit/distributions.h"

#include <cmath>

#include "boost/math/distributions/fisher_f.hpp"
#include "boost/math/distributions/students_t.hpp"

namespace loglog {

double TQuantile(double probability, double df) {
  return boost::math::quantile(boost::math::students_t(df), probability);
}

double TCdf(double t, double df) {
  if (std::isnan(t)) return t;
  if (std::isinf(t)) return t > 0 ? 1 : 0;
  return boost::math::cdf(boost::math::students_t(df), t);
}

double FQuantile(double probability, double df1, double df2) {
  return boost::math::quantile(boost::math::fisher_f(df1, df2), probability);
}

double FUpperTail(double f, double df1, double df2) {
  if (std::isnan(f)) return f;
  if (std::isinf(f)) return 0;
  return boost::math::cdf(boost::math::complement(boost::math::fisher_f(df1, df2), f));
}

}  // namespace loglog
