#include "fit/distributions.h"

#include <cmath>
#include <limits>

#include "boost/math/distributions/chi_squared.hpp"
#include "boost/math/distributions/fisher_f.hpp"
#include "boost/math/distributions/non_central_t.hpp"
#include "boost/math/distributions/normal.hpp"
#include "boost/math/distributions/students_t.hpp"

namespace loglog {
namespace {

// In double all the way: half the time, and 1e-14 or so off (tests/oracle asks for 1e-9).
using Policy = boost::math::policies::policy<boost::math::policies::promote_double<false>>;
using StudentsT = boost::math::students_t_distribution<double, Policy>;
using FisherF = boost::math::fisher_f_distribution<double, Policy>;

}  // namespace

double TQuantile(double probability, double df) {
  return boost::math::quantile(StudentsT(df), probability);
}

double TCdf(double t, double df) {
  if (std::isnan(t)) return t;
  if (std::isinf(t)) return t > 0 ? 1 : 0;
  return boost::math::cdf(StudentsT(df), t);
}

double FQuantile(double probability, double df1, double df2) {
  return boost::math::quantile(FisherF(df1, df2), probability);
}

double FUpperTail(double f, double df1, double df2) {
  if (std::isnan(f)) return f;
  if (std::isinf(f)) return 0;
  return boost::math::cdf(boost::math::complement(FisherF(df1, df2), f));
}

double LackOfFitP(double squares, int df, double pure_squares, int pure_df) {
  if (df < 1 || pure_df < 1 || !(pure_squares > 0)) return std::numeric_limits<double>::quiet_NaN();
  return FUpperTail((squares / df) / (pure_squares / pure_df), df, pure_df);
}

double ChiSquareQuantile(double probability, double df) {
  return boost::math::quantile(boost::math::chi_squared(df), probability);
}

double NoncentralTCdf(double t, double df, double shift) {
  if (std::isnan(t) || std::isnan(shift)) return t + shift;
  return boost::math::cdf(boost::math::non_central_t(df, shift), t);
}

double NormalPdf(double z) { return std::exp(-0.5 * z * z) / std::sqrt(2 * M_PI); }

double NormalCdf(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

double NormalQuantile(double probability) {
  return boost::math::quantile(boost::math::normal(), probability);
}

}  // namespace loglog
