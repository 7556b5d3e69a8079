#ifndef LOGLOG_STORE_CHECK_H_
#define LOGLOG_STORE_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog {

struct Breach {
  std::string object;  // "trial 17", "sweeps/phase", "the file"
  std::string what;
  std::string fix;
};

struct CheckOptions {
  // Passes over the contents of indexes and over all points: minutes become seconds.
  bool quick = false;
  int breaches_max = 100;  // of one kind
};

struct CheckReport {
  std::vector<Breach> breaches;  // empty: the store is sound
  bool truncated = false;        // some kind has more
  int64_t bytes = 0;
  int64_t sweeps = 0;
  int64_t trials = 0;
  int64_t chunks = 0;  // rows of points; 0 with `quick`
};

// Asks SQLite whether the file is sound, then whether the rows say one thing. Only reads, in
// one read transaction, so that a coordinator may work on: its log grows until this ends.
// A blocking call on any thread. NOT_FOUND; FAILED_PRECONDITION: not a Loglog store, or one
// of another schema version; DATA_LOSS: too damaged to be asked.
absl::StatusOr<CheckReport> CheckStore(absl::string_view path, const CheckOptions& options = {});

}  // namespace loglog

#endif  // LOGLOG_STORE_CHECK_H_
