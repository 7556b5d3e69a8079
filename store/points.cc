#include "store/points.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status.h"

namespace loglog {
namespace {

// Enough for every series that grows at one time; 20 MB.
constexpr size_t kTailsMax = 65'536;

// Columns in the order of ReadChunk and BindChunk: seven fields, then the values.
constexpr int kFirstValue = 7;
std::string ChunkColumns() {
  std::string columns =
      "chunk_id, attempt_id, n, step_begin, step_stride, tokens_begin, tokens_stride";
  for (int i = 0; i < kChunkPoints; ++i) absl::StrAppend(&columns, ", v", i);
  return columns;
}

// "?4, ?5, ..."
std::string Parameters(int first, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) absl::StrAppend(&text, i == 0 ? "?" : ", ?", first + i);
  return text;
}

const std::string& InsertSql() {
  static const auto* const sql = new std::string(
      absl::StrCat("INSERT INTO points (", ChunkColumns(), ", stream_id, metric_id, ",
                   "superseded_by) VALUES (", Parameters(1, kFirstValue + kChunkPoints + 3), ")"));
  return *sql;
}

// Only what growing and trimming change, so that no index and no foreign key is touched.
const std::string& UpdateSql() {
  static const auto* const sql = [] {
    auto* text = new std::string("UPDATE points SET n = ?3, step_stride = ?5, tokens_stride = ?7");
    for (int i = 0; i < kChunkPoints; ++i) {
      absl::StrAppend(text, ", v", i, " = ?", kFirstValue + 1 + i);
    }
    absl::StrAppend(text, " WHERE chunk_id = ?1");
    return text;
  }();
  return *sql;
}

const std::string& TailSql() {
  static const auto* const sql = new std::string(
      absl::StrCat("SELECT ", ChunkColumns(),
                   " FROM points WHERE stream_id = ?1 AND metric_id = ?2 AND superseded_by IS "
                   "NULL ORDER BY step_begin DESC LIMIT 1"));
  return *sql;
}

const std::string& CurveSql() {
  static const auto* const sql = new std::string(
      absl::StrCat("SELECT ", ChunkColumns(),
                   " FROM points WHERE stream_id = ?1 AND metric_id = ?2 AND superseded_by IS "
                   "NULL AND step_begin <= ?3 ORDER BY step_begin"));
  return *sql;
}

// All current chunks of a stream that reach past a step.
const std::string& PastSql() {
  static const auto* const sql = new std::string(
      absl::StrCat("SELECT ", ChunkColumns(),
                   ", metric_id FROM points WHERE stream_id = ?1 AND superseded_by IS NULL AND "
                   "step_begin + (n - 1) * step_stride > ?2"));
  return *sql;
}

Chunk ReadChunk(const Cursor& row) {
  Chunk chunk;
  chunk.chunk_id = row.Int(0);
  chunk.attempt_id = row.Int(1);
  chunk.n = static_cast<int>(row.Int(2));
  chunk.step_begin = row.Int(3);
  chunk.step_stride = row.Int(4);
  chunk.tokens_begin = row.Int(5);
  chunk.tokens_stride = row.Int(6);
  for (int i = 0; i < chunk.n; ++i) chunk.values[i] = row.Real(kFirstValue + i);
  return chunk;
}

// Names stand in queries, files and addresses: no white space, and nothing that a terminal
// would obey.
absl::Status CheckMetricName(absl::string_view name) {
  if (name.empty() || name.size() > limits::kMetricNameBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("metric name '", name.substr(0, 40), "...' has ",
                                                   name.size(), " bytes, must have 1 to ",
                                                   limits::kMetricNameBytesMax));
  }
  for (const char c : name) {
    if (absl::ascii_isgraph(c)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("metric name '", absl::CHexEscape(name),
                     "' must be visible ASCII characters without spaces, such as loss/val"));
  }
  return absl::OkStatus();
}

void BindChunk(const Chunk& chunk, Cursor* cursor) {
  // NULL lets SQLite choose the id of a new chunk.
  cursor->Bind(IdOrNull(chunk.chunk_id), chunk.attempt_id, chunk.n, chunk.step_begin,
               chunk.step_stride, chunk.tokens_begin, chunk.tokens_stride);
  // Values past n stay unbound, which is NULL.
  for (int i = 0; i < chunk.n; ++i) cursor->BindOne(kFirstValue + 1 + i, chunk.values[i]);
}

}  // namespace

bool Chunk::Fits(int64_t attempt, int64_t at_step, int64_t at_tokens) const {
  if (attempt != attempt_id || n >= kChunkPoints) return false;
  return n == 1 || (at_step == step(n) && at_tokens == tokens(n));
}

void Chunk::Add(int64_t at_step, int64_t at_tokens, double value) {
  if (n == 0) {
    step_begin = at_step;
    tokens_begin = at_tokens;
  } else if (n == 1) {
    step_stride = at_step - step_begin;
    tokens_stride = at_tokens - tokens_begin;
  }
  values[n++] = value;
}

absl::StatusOr<int64_t> PointWriter::MetricId(absl::string_view name) {
  auto known = metric_ids_.find(name);
  if (known != metric_ids_.end()) return known->second;
  LOGLOG_RETURN_IF_ERROR(CheckMetricName(name));
  int64_t id = 0;
  {
    Cursor found = db_->Query("SELECT metric_id FROM metric_names WHERE name = ?1", name);
    if (found.Next()) id = found.Int(0);
    LOGLOG_RETURN_IF_ERROR(found.status());
  }
  if (id == 0) {
    LOGLOG_RETURN_IF_ERROR(db_->Run("INSERT INTO metric_names (name) VALUES (?1)", name));
    id = db_->last_insert_id();
    if (id > limits::kMetricNamesMax) {
      // Of this batch only: the store has room for others.
      return absl::InvalidArgumentError(absl::StrCat(
          "metric '", name, "' would be number ", id, " of at most ", limits::kMetricNamesMax,
          " names in a store; do not put numbers into metric names"));
    }
  }
  metric_ids_.emplace(std::string(name), id);
  return id;
}

absl::StatusOr<PointWriter::Tail*> PointWriter::FindTail(SeriesKey series) {
  auto known = tails_.find(series);
  if (known != tails_.end()) return &known->second;
  Tail tail;
  Cursor row = db_->Query(TailSql(), series.first, series.second);
  if (row.Next()) tail.chunk = ReadChunk(row);
  LOGLOG_RETURN_IF_ERROR(row.status());
  return &tails_.emplace(series, tail).first->second;
}

absl::Status PointWriter::Append(int64_t stream_id, int64_t metric_id, int64_t attempt_id,
                                 int64_t step, int64_t tokens, double value) {
  const SeriesKey series(stream_id, metric_id);
  LOGLOG_ASSIGN_OR_RETURN(Tail * tail, FindTail(series));
  Chunk& chunk = tail->chunk;
  if (chunk.n > 0 && step <= chunk.last_step()) {
    return absl::InvalidArgumentError(absl::StrCat("step ", step, " comes after step ",
                                                   chunk.last_step(),
                                                   " of the same metric; steps must grow"));
  }
  if (chunk.n > 0 && !chunk.Fits(attempt_id, step, tokens)) {
    if (tail->dirty) LOGLOG_RETURN_IF_ERROR(Write(series, &chunk));
    chunk = Chunk();
  }
  chunk.attempt_id = attempt_id;
  chunk.Add(step, tokens, value);
  if (!tail->dirty) {
    tail->dirty = true;
    dirty_.push_back(series);
  }
  return absl::OkStatus();
}

absl::Status PointWriter::Write(SeriesKey series, Chunk* chunk) {
  const bool is_new = chunk->chunk_id == 0;
  Cursor cursor = db_->Prepare(is_new ? InsertSql() : UpdateSql());
  LOGLOG_RETURN_IF_ERROR(cursor.status());
  BindChunk(*chunk, &cursor);
  if (is_new) {
    cursor.BindOne(kFirstValue + kChunkPoints + 1, series.first);
    cursor.BindOne(kFirstValue + kChunkPoints + 2, series.second);
  }
  LOGLOG_RETURN_IF_ERROR(cursor.Finish());
  if (is_new) chunk->chunk_id = db_->last_insert_id();
  return absl::OkStatus();
}

absl::Status PointWriter::Flush() {
  for (const SeriesKey& series : dirty_) {
    Tail& tail = tails_.at(series);
    LOGLOG_RETURN_IF_ERROR(Write(series, &tail.chunk));
    tail.dirty = false;
  }
  dirty_.clear();
  if (tails_.size() > kTailsMax) tails_.clear();
  return absl::OkStatus();
}

void PointWriter::Forget() {
  metric_ids_.clear();
  tails_.clear();
  dirty_.clear();
}

absl::StatusOr<int64_t> PointWriter::Supersede(int64_t stream_id, int64_t attempt_id,
                                               int64_t after_step) {
  LOGLOG_RETURN_IF_ERROR(Flush());
  std::vector<std::pair<Chunk, int64_t>> past;  // with the metric
  {
    Cursor row = db_->Query(PastSql(), stream_id, after_step);
    while (row.Next()) past.emplace_back(ReadChunk(row), row.Int(kFirstValue + kChunkPoints));
    LOGLOG_RETURN_IF_ERROR(row.status());
  }
  int64_t points = 0;
  for (const auto& [chunk, metric_id] : past) {
    int keep = 0;
    while (chunk.step(keep) <= after_step) ++keep;
    points += chunk.n - keep;
    LOGLOG_RETURN_IF_ERROR(Trim(chunk, {stream_id, metric_id}, keep, attempt_id));
    tails_.erase({stream_id, metric_id});
  }
  if (points > 0) LOGLOG_RETURN_IF_ERROR(RewindStream(stream_id));
  return points;
}

absl::Status PointWriter::Trim(const Chunk& chunk, SeriesKey series, int keep, int64_t attempt_id) {
  if (keep == 0) {
    return db_->Run("UPDATE points SET superseded_by = ?2 WHERE chunk_id = ?1", chunk.chunk_id,
                    attempt_id);
  }
  Chunk kept = chunk;
  kept.n = keep;
  LOGLOG_RETURN_IF_ERROR(Write(series, &kept));
  Chunk rest;
  rest.attempt_id = chunk.attempt_id;
  for (int i = keep; i < chunk.n; ++i) rest.Add(chunk.step(i), chunk.tokens(i), chunk.values[i]);
  Cursor cursor = db_->Prepare(InsertSql());
  LOGLOG_RETURN_IF_ERROR(cursor.status());
  BindChunk(rest, &cursor);
  cursor.BindOne(kFirstValue + kChunkPoints + 1, series.first);
  cursor.BindOne(kFirstValue + kChunkPoints + 2, series.second);
  cursor.BindOne(kFirstValue + kChunkPoints + 3, attempt_id);
  return cursor.Finish();
}

absl::Status PointWriter::RewindStream(int64_t stream_id) {
  int64_t step = 0;
  int64_t tokens = 0;
  {
    Cursor row = db_->Query(
        "SELECT step_begin + (n - 1) * step_stride AS step, "
        "tokens_begin + (n - 1) * tokens_stride FROM points "
        "WHERE stream_id = ?1 AND superseded_by IS NULL ORDER BY step DESC LIMIT 1",
        stream_id);
    if (row.Next()) {
      step = row.Int(0);
      tokens = row.Int(1);
    }
    LOGLOG_RETURN_IF_ERROR(row.status());
  }
  LOGLOG_ASSIGN_OR_RETURN(const int64_t loss, MetricId("loss/train"));
  LOGLOG_ASSIGN_OR_RETURN(const Tail* tail, FindTail({stream_id, loss}));
  const int n = tail->chunk.n;
  return db_->Run("UPDATE streams SET step = ?2, tokens = ?3, last_loss = ?4 WHERE stream_id = ?1",
                  stream_id, step, tokens, n == 0 ? kNoNumber : tail->chunk.values[n - 1]);
}

std::vector<int64_t> ThinEvenly(int64_t total, int64_t max_points) {
  std::vector<int64_t> kept;
  const int64_t count = max_points <= 0 ? total : std::min(total, std::max<int64_t>(2, max_points));
  kept.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    kept.push_back(count == total ? i : (i * (total - 1) + (count - 1) / 2) / (count - 1));
  }
  return kept;
}

absl::StatusOr<Curve> ReadCurvePoints(Connection* db, const PointQuery& query) {
  Curve curve;
  ReadScope scope(db);
  int64_t metric_id = 0;
  std::vector<int64_t> streams;
  {
    Cursor row = db->Query("SELECT metric_id FROM metric_names WHERE name = ?1", query.metric);
    if (row.Next()) metric_id = row.Int(0);
    LOGLOG_RETURN_IF_ERROR(row.status());
    Cursor stream = db->Query(
        "SELECT m.stream_id FROM task_members tm JOIN streams m ON m.task_id = tm.task_id AND "
        "m.member = tm.member JOIN tasks k ON k.task_id = tm.task_id WHERE tm.trial_id = ?1 "
        "ORDER BY k.token_begin",
        query.trial_id);
    while (stream.Next()) streams.push_back(stream.Int(0));
    LOGLOG_RETURN_IF_ERROR(stream.status());
  }
  const int64_t step_max =
      query.step_max == 0 ? std::numeric_limits<int64_t>::max() : query.step_max;
  for (const int64_t stream_id : streams) {
    Cursor row = db->Query(CurveSql(), stream_id, metric_id, step_max);
    while (row.Next()) {
      const Chunk chunk = ReadChunk(row);
      for (int i = 0; i < chunk.n; ++i) {
        const int64_t step = chunk.step(i);
        if (step < query.step_min || step > step_max) continue;
        curve.points.push_back({step, chunk.tokens(i), chunk.values[i]});
      }
    }
    LOGLOG_RETURN_IF_ERROR(row.status());
  }
  curve.total_points = static_cast<int64_t>(curve.points.size());
  if (query.max_points > 0 && curve.total_points > query.max_points) {
    std::vector<PointRow> thinned;
    for (const int64_t i : ThinEvenly(curve.total_points, query.max_points)) {
      thinned.push_back(curve.points[i]);
    }
    curve.points = std::move(thinned);
  }
  return curve;
}

}  // namespace loglog
