#ifndef LOGLOG_FIT_FIT_H_
#define LOGLOG_FIT_FIT_H_

// The whole of fit/: pure functions from observations to results. Thread-safe (no
// shared state) and deterministic: neither the order of the observations nor the
// number of threads changes a bit of the answer.

#include "fit/arms.h"
#include "fit/bootstrap.h"
#include "fit/censored.h"
#include "fit/compare.h"
#include "fit/contrasts.h"
#include "fit/isoflop.h"
#include "fit/joint.h"
#include "fit/law_fit.h"
#include "fit/law_prediction.h"
#include "fit/local_slope.h"
#include "fit/next_runs.h"
#include "fit/observation.h"
#include "fit/result.h"
#include "fit/saturating.h"
#include "fit/sequential.h"
#include "fit/status.h"

#endif  // LOGLOG_FIT_FIT_H_
