#ifndef LOGLOG_STORE_POINTS_H_
#define LOGLOG_STORE_POINTS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "store/connection.h"
#include "store/rows.h"

namespace loglog {

// Points live in rows of up to this many evenly spaced ones (schema/001_store.sql says
// how), so that plain SQL can read them and a long series costs about 10 bytes a point.
inline constexpr int kChunkPoints = 32;

struct Chunk {
  int64_t chunk_id = 0;  // 0: not in the table yet
  int64_t attempt_id = 0;
  int n = 0;
  int64_t step_begin = 0;
  int64_t step_stride = 0;
  int64_t tokens_begin = 0;
  int64_t tokens_stride = 0;
  double values[kChunkPoints];

  int64_t step(int i) const { return step_begin + i * step_stride; }
  int64_t tokens(int i) const { return tokens_begin + i * tokens_stride; }
  int64_t last_step() const { return step(n - 1); }
  // Whether a point can become point n of this chunk.
  bool Fits(int64_t attempt, int64_t step, int64_t tokens) const;
  void Add(int64_t step, int64_t tokens, double value);
};

// Puts points into chunks. It remembers the chunk that each series grows, so that a
// batch costs one row write for each series it touches. Confined to the writer's
// thread; Forget() after any rollback, because the remembered chunks may not be there.
class PointWriter {
 public:
  explicit PointWriter(Connection* db) : db_(db) {}

  // Ids grow from 1; unknown names are added. INVALID_ARGUMENT past 10,000 names.
  absl::StatusOr<int64_t> MetricId(absl::string_view name);
  // INVALID_ARGUMENT when the step does not grow within the series. The point is in the
  // table after Flush.
  absl::Status Append(int64_t stream_id, int64_t metric_id, int64_t attempt_id, int64_t step,
                      int64_t tokens, double value);
  absl::Status Flush();
  // Takes back all points of a stream after `after_step`, in favour of `attempt_id`;
  // returns how many. The stream's newest step, tokens and loss follow.
  absl::StatusOr<int64_t> Supersede(int64_t stream_id, int64_t attempt_id, int64_t after_step);
  // Sets the stream's step, tokens and loss to those of its newest point. After Flush.
  absl::Status RewindStream(int64_t stream_id);
  void Forget();

 private:
  struct Tail {
    Chunk chunk;
    bool dirty = false;
  };
  using SeriesKey = std::pair<int64_t, int64_t>;  // stream, metric

  absl::StatusOr<Tail*> FindTail(SeriesKey series);
  absl::Status Write(SeriesKey series, Chunk* chunk);
  absl::Status Trim(const Chunk& chunk, SeriesKey series, int keep, int64_t attempt_id);

  Connection* const db_;
  absl::flat_hash_map<std::string, int64_t> metric_ids_;
  absl::flat_hash_map<SeriesKey, Tail> tails_;
  std::vector<SeriesKey> dirty_;
};

// Current points of a trial's metric over its lineage of streams, by step.
absl::StatusOr<Curve> ReadCurvePoints(Connection* db, const PointQuery& query);

// Indices of at most `max_points` of `total` evenly spread points, the first and the
// last among them.
std::vector<int64_t> ThinEvenly(int64_t total, int64_t max_points);

}  // namespace loglog

#endif  // LOGLOG_STORE_POINTS_H_
