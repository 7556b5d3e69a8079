#ifndef LOGLOG_BENCH_CONTROL_CEILING_H_
#define LOGLOG_BENCH_CONTROL_CEILING_H_

#include <cstdint>
#include <string>
#include <vector>

namespace loglog::bench {

// What bare SQLite does on the same disk with the same durability, in one process and
// without a server: the ceiling of what the coordinator could do. Each makes a database
// at `path` and removes it.

// Trials a second: a row for the trial, ten points, an update, in two commits for each
// `slots` trials (so many run at a time): the ends of some are the starts of the next.
double BareTrials(const std::string& path, int trials, int slots);
// Trials a second: a row in each of two commits, `slots` trials to a commit.
double BareDispatches(const std::string& path, int trials, int slots);
// Points a second, one row each, `points_of_commit` to a commit.
double BarePoints(const std::string& path, int64_t points, int64_t points_of_commit);
// Milliseconds of each of `count` pairs of commits of one row.
std::vector<double> BareCommitPairs(const std::string& path, int count);

}  // namespace loglog::bench

#endif  // LOGLOG_BENCH_CONTROL_CEILING_H_
