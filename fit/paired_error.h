#ifndef LOGLOG_FIT_PAIRED_ERROR_H_
#define LOGLOG_FIT_PAIRED_ERROR_H_

#include "fit/pairs.h"
#include "fit/result.h"

namespace loglog {

// How far paired differences scatter about a curve fitted to them: by means over seeds
// about the curve, which is right whatever effect a configuration has of its own, and by
// all pairs together, which has more degrees of freedom and is right where there is no
// such effect. Intervals lie between the two by how much an effect shows.
class PairedError {
 public:
  // `rss` and `df` of the curve through the means of cells, each weighing its pairs; df >= 1.
  PairedError(double rss, int df, const PureError& pure);

  // The p value of F that cells have effects of their own; NaN without replicates.
  double effect_p() const { return effect_p_; }
  // The part of the half-width that is the means', 0 to 1; 1 without replicates.
  double means_part() const { return means_part_; }
  int means_df() const { return means_df_; }
  int pairs_df() const { return pairs_df_; }

  // For an estimate whose variance is that of one pair's difference over `information`.
  double HalfWidth(double confidence, double information) const;
  FitParameter Interval(const char* name, double estimate, double information,
                        double confidence) const;
  // Of the estimate being below 0; HalfWidth turned around, so that it is .025 where the
  // 95% interval ends at 0.
  double OneSidedP(double estimate, double information) const;

 private:
  // HalfWidth at information 1, where the confidence is 1 - exp(ln_alpha).
  double HalfWidthAt(double ln_alpha) const;

  double means_sd_;
  int means_df_;
  double pairs_sd_ = 0;
  int pairs_df_ = 0;
  double effect_p_ = kNoNumber;
  double means_part_ = 1;
};

}  // namespace loglog

#endif  // LOGLOG_FIT_PAIRED_ERROR_H_
