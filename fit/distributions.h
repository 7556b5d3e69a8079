#ifndef LOGLOG_FIT_DISTRIBUTIONS_H_
#define LOGLOG_FIT_DISTRIBUTIONS_H_

namespace loglog {

// Student's t, Fisher's F, chi-square; all need df >= 1 (noncentral t too); NaN in, NaN
// out. Kept apart so that Boost.Math is compiled once.
double TQuantile(double probability, double df);
double TCdf(double t, double df);
double FQuantile(double probability, double df1, double df2);
// P(F >= f); 0 for f = infinity.
double FUpperTail(double f, double df1, double df2);
// The F test of a law's residual sum of squares against scatter that it cannot explain (pure
// error): its p, NaN where either has no degrees of freedom or the second no scatter.
double LackOfFitP(double squares, int df, double pure_squares, int pure_df);
double ChiSquareQuantile(double probability, double df);
// P(T <= t) for T = (Z + shift) / sqrt(chi-square / df).
double NoncentralTCdf(double t, double df, double shift);

double NormalPdf(double z);
double NormalCdf(double z);
double NormalQuantile(double probability);

}  // namespace loglog

#endif  // LOGLOG_FIT_DISTRIBUTIONS_H_
