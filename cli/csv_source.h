#ifndef LOGLOG_CLI_CSV_SOURCE_H_
#define LOGLOG_CLI_CSV_SOURCE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/args.h"
#include "fit/csv_points.h"
#include "fit/observation.h"

namespace loglog::cli {

// --csv and the flags that name its columns.
std::vector<Flag> CsvSourceFlags();

// The points of --csv.
struct CsvSource {
  std::string path;
  CsvColumns columns;
  Axis axis = Axis::kTokens;  // that --x is on, by --axis or its name
  CsvPoints points;
};

// Reads the file that --csv names, with the columns that the other flags name. INVALID_ARGUMENT
// names the file, row and column, or the flag that is missing, or that a SWEEP is named as well.
// NOT_FOUND: no such file.
absl::StatusOr<CsvSource> ReadCsvSource(const Args& args);

// INVALID_ARGUMENT names the first of `flags` that the command line holds without --csv: they
// say how a file is read, and what a sweep holds is read by its spec.
absl::Status RefuseCsvFlags(const Args& args, const std::vector<Flag>& flags);

// What is said where arms of a file without seeds are compared.
inline constexpr char kNoSeeds[] =
    "no --seed: arms are compared on means over the rows of each configuration; name the column "
    "of seeds to pair them";

// "18 of 24 rows; 2 diverged; 1 without a loss": what of these arms a fit takes and leaves out.
std::string CountedRows(const CsvPoints& points);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_CSV_SOURCE_H_
