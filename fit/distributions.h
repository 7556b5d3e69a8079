#ifndef LOGLOG_FIT_DISTRIBUTIONS_H_
#define LOGLOG_FIT_DISTRIBUTIONS_H_

namespace loglog {

// Student's t and Fisher's F; all need df >= 1; NaN in, NaN out. Kept apart so that Boost.Math is
// compiled once.
double TQuantile(double probability, double df);
double TCdf(double t, double df);
double FQuantile(double probability, double df1, double df2);
// P(F >= f); 0 for f = infinity.
double FUpperTail(double f, double df1, double df2);

}  // namespace loglog

#endif  // LOGLOG_FIT_DISTRIBUTIONS_H_
