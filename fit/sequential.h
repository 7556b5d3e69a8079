#ifndef LOGLOG_FIT_SEQUENTIAL_H_
#define LOGLOG_FIT_SEQUENTIAL_H_

namespace loglog {

// A sweep may be ended early by the width of an interval, and is looked at for that several
// times. An interval from a look that was chosen for its width is too narrow: the looks at
// which scatter happened to be small are the ones that end the sweep. So each look spends an
// equal part of the error (Bonferroni's alpha spending, the end of the sweep being the last
// look), and the intervals of all looks hold together, whatever ends the sweep.

inline constexpr int kLooks = 8;

// Confidence of the interval of one look.
double LookConfidence(double confidence);

// How many of `trials` the look number `look` (from 1) is made of.
int TrialsOfLook(int look, int trials);

}  // namespace loglog

#endif  // LOGLOG_FIT_SEQUENTIAL_H_
