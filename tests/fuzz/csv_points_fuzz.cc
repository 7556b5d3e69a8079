// A CSV of points: what is read is finite and positive, stays the same whatever ends its
// lines, and never stops a fit. The first byte chooses the columns that are asked for.
#include <cmath>
#include <string>

#include "absl/strings/str_replace.h"
#include "base/check.h"
#include "fit/csv_points.h"
#include "fit/fit.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loglog;
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  CsvColumns columns{.tokens = "D"};
  if ((data[0] & 1) != 0) columns.params = "N";
  if ((data[0] & 2) != 0) columns.arm = "arm";
  if ((data[0] & 4) != 0) columns.seed = "seed";
  if ((data[0] & 8) != 0) columns.unique_tokens = "U";
  const auto header = CsvHeader(text);
  const auto points = ReadCsvPoints(text, columns);
  LOGLOG_CHECK(header.ok() || !points.ok());
  if (!points.ok()) {
    LOGLOG_CHECK(!points.status().message().empty());
    return 0;
  }
  size_t kept = 0;
  for (const CsvArm& arm : points->arms) {
    kept += arm.trials.size() + static_cast<size_t>(arm.diverged);
    for (const Observation& o : arm.trials) {
      for (const double value : {o.loss, o.d_tokens, o.n_params, o.c_flops}) {
        LOGLOG_CHECK(std::isfinite(value) && value >= 0);
      }
      LOGLOG_CHECK(o.loss > 0 && o.d_tokens > 0);
    }
    // A refusal or an answer, of a few points.
    if (arm.trials.size() <= 12) {
      FitLocalSlope(arm.trials).IgnoreError();
      FitSaturating(arm.trials).IgnoreError();
    }
  }
  LOGLOG_CHECK(kept <= static_cast<size_t>(points->n_rows));
  if (text.find('"') == std::string::npos && text.find('\r') == std::string::npos) {
    const auto again = ReadCsvPoints(absl::StrReplaceAll(text, {{"\n", "\r\n"}}), columns);
    LOGLOG_CHECK(again.ok() && again->n_rows == points->n_rows);
  }
  return 0;
}
