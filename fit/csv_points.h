#ifndef LOGLOG_FIT_CSV_POINTS_H_
#define LOGLOG_FIT_CSV_POINTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "fit/censored.h"
#include "fit/observation.h"

namespace loglog {

// Names of a CSV's columns; empty: the file has none. At least `loss` and one of
// `tokens`, `params` and `flops`. Of D, N and C = 6*N*D, the one without a column follows
// from the other two.
struct CsvColumns {
  std::string loss = "loss";
  std::string tokens;
  std::string params;
  std::string flops;
  std::string unique_tokens;
  std::string arm;
  std::string seed;
  // "below" or "above" where the trial's final loss is known to be on that side of the loss
  // given, empty where it is the loss given.
  std::string censored;
};

struct CsvArm {
  std::string name;  // "" without an arm column
  std::vector<Observation> trials;
  std::vector<CensoredTrial> censored;  // not among `trials`
  std::vector<Observation> lost;        // rows without a loss that a fit can use
  int diverged = 0;                     // of those: loss nan, inf or `diverged`
  int empty = 0;                        // of those: no loss given
};

struct CsvPoints {
  std::vector<CsvArm> arms;  // in order of their first row
  bool has_seeds = false;    // without, seeds number the rows of a configuration
  int n_rows = 0;
  std::vector<std::string> notes;  // what a reader should know of how the file was read
};

// The header's names, in order; for choosing columns. INVALID_ARGUMENT: as ReadCsvPoints.
absl::StatusOr<std::vector<std::string>> CsvHeader(absl::string_view text);

// Points from a CSV text: RFC 4180 quotes, LF, CRLF or CR, an UTF-8 byte order mark; comma,
// semicolon or tab as the header has them. A column named loss_unit must hold one value.
// A size or loss that is no plain finite positive number is refused with its row and
// column (rows count from 1 at the header, as editors do), with the fix where one is known:
// decimal commas, thousands separators, units, another encoding. Rows with the same sizes
// and no seed column are replicates.
// INVALID_ARGUMENT: all of that, a column that is missing (with a guess) or named twice.
absl::StatusOr<CsvPoints> ReadCsvPoints(absl::string_view text, const CsvColumns& columns);

// An arm's rows as they are compared with another arm's: themselves where the file has seeds,
// else one for each (N, D) with the geometric mean of its losses and seed 0, because nothing
// says which row of one arm belongs to which of the other.
std::vector<Observation> CsvComparable(const CsvPoints& points, const CsvArm& arm);

}  // namespace loglog

#endif  // LOGLOG_FIT_CSV_POINTS_H_
