#ifndef LOGLOG_FIT_DIFFERENCES_H_
#define LOGLOG_FIT_DIFFERENCES_H_

#include "fit/line.h"
#include "fit/pairs.h"

namespace loglog {

// d = ln L1 - ln L2 of pairs, averaged over the seeds of each cell, and its line in ln x.
struct Differences {
  LineData cells;  // with the weights of WeightsOfMeans
  // Between the seeds of cells where all have as many pairs: the mixture of PairedError is
  // tuned to that, and elsewhere intervals are those of means alone.
  PureError pure;
  Line line;
  double weight = 0;    // of all cells
  double middle = 0;    // weighted mean of d
  double middle_x = 0;  // and of ln x

  // Needs a pair.
  explicit Differences(const Pairs& of);
};

}  // namespace loglog

#endif  // LOGLOG_FIT_DIFFERENCES_H_
