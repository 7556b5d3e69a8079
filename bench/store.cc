// Layouts of points, and the store's own speed.
//
//   bench_store [--dir DIR] [--rounds N] [--smoke]
//
// Part 1 runs three layouts of the same points after each other, round by round, and
// prints the medians: durable points a second, bytes a point, and the time to read 500
// curves of 1,000 points.
//   rows     one SQL row for each point, append order, with an index on the series
//   blobs    a chunk of up to 256 points of a series in one blob
//   columns  a chunk of up to 32 points of a series in 32 REAL columns (what we ship)
// Part 2 prints the store's durable points and dispatches a second as ratios of what bare
// SQLite does in the same run with the same commits.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/median.h"
#include "shards/sha256.h"
#include "store/connection.h"
#include "store/points.h"
#include "store/store.h"

namespace loglog {
namespace {

// What 500 trials log: four metrics in every row, twelve probes in each tenth.
struct Load {
  int streams = 500;
  int active = 64;  // streams that grow at one time; each sends one batch to a commit
  int rows = 1000;
  int rows_of_batch = 10;
  static constexpr int kDense = 4;
  static constexpr int kProbes = 12;
  int MetricsOfRow(int row) const { return row % 10 == 9 ? kDense + kProbes : kDense; }
  int64_t Points() const {
    int64_t points = 0;
    for (int row = 0; row < rows; ++row) points += int64_t{streams} * MetricsOfRow(row);
    return points;
  }
};

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}
template <typename T>
T Must(absl::StatusOr<T> value) {
  Must(value.status());
  return *std::move(value);
}

int64_t StepOf(int row) { return (row + 1) * int64_t{10}; }
int64_t TokensOf(int row) { return StepOf(row) * 131'072; }
double ValueOf(int stream, int metric, int row) {
  return 3.0 + std::exp(-0.001 * row) + 0.01 * std::sin(row * 0.7 + stream + 31 * metric);
}

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int64_t FileBytes(const std::string& path) {
  return static_cast<int64_t>(std::filesystem::file_size(path));
}

void RemoveStore(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm", ".lock"}) {
    std::filesystem::remove(path + suffix);
  }
}

// A layout under test. Streams and metrics count from 1.
class Layout {
 public:
  virtual ~Layout() = default;
  virtual void Append(int stream, int metric, int64_t step, int64_t tokens, double value) = 0;
  // Before each commit.
  virtual void Flush() {}
  // Sum and count of a curve, all values decoded.
  virtual std::pair<double, int64_t> Read(int stream, int metric) = 0;
  Connection* db() { return db_.get(); }

 protected:
  explicit Layout(const std::string& path)
      : db_(Must(Connection::Open(path, Connection::Mode::kCreate))) {}
  std::unique_ptr<Connection> db_;
};

class Rows : public Layout {
 public:
  explicit Rows(const std::string& path) : Layout(path) {
    Must(db_->Script(
        "CREATE TABLE IF NOT EXISTS point_rows (id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, "
        "metric INTEGER NOT NULL, attempt INTEGER NOT NULL, step INTEGER NOT NULL, tokens "
        "INTEGER NOT NULL, value REAL) STRICT; CREATE UNIQUE INDEX IF NOT EXISTS by_series ON "
        "point_rows (stream, metric, step);"));
  }
  void Append(int stream, int metric, int64_t step, int64_t tokens, double value) override {
    Must(
        db_->Run("INSERT INTO point_rows (stream, metric, attempt, step, tokens, value) VALUES "
                 "(?1, ?2, ?1, ?3, ?4, ?5)",
                 stream, metric, step, tokens, value));
  }
  std::pair<double, int64_t> Read(int stream, int metric) override {
    Cursor row = db_->Query(
        "SELECT step, tokens, value FROM point_rows WHERE stream = ?1 AND metric = ?2 ORDER BY "
        "step",
        stream, metric);
    double sum = 0;
    int64_t count = 0;
    for (; row.Next(); ++count) sum += row.Real(2) + 1e-12 * (row.Int(0) + row.Int(1));
    return {sum, count};
  }
};

class Blobs : public Layout {
 public:
  explicit Blobs(const std::string& path) : Layout(path) {
    Must(db_->Script(
        "CREATE TABLE IF NOT EXISTS blobs (id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, "
        "metric INTEGER NOT NULL, attempt INTEGER NOT NULL, n INTEGER NOT NULL, step_begin "
        "INTEGER NOT NULL, step_stride INTEGER NOT NULL, tokens_begin INTEGER NOT NULL, "
        "tokens_stride INTEGER NOT NULL, data BLOB NOT NULL) STRICT; CREATE UNIQUE INDEX IF NOT "
        "EXISTS by_series ON blobs (stream, metric, step_begin);"));
    tails_.resize(1 << 16);
  }
  void Append(int stream, int metric, int64_t step, int64_t tokens, double value) override {
    const int series = stream * 64 + metric;
    Tail& tail = tails_[series];
    if (tail.values.size() == kPoints) {
      Write(series, &tail);
      tail = Tail();
    }
    if (tail.values.empty()) {
      tail.step = step;
      tail.tokens = tokens;
    } else if (tail.values.size() == 1) {
      tail.step_stride = step - tail.step;
      tail.tokens_stride = tokens - tail.tokens;
    }
    tail.values.push_back(value);
    if (!tail.dirty) dirty_.push_back(series);
    tail.dirty = true;
  }
  void Flush() override {
    for (const int series : dirty_) Write(series, &tails_[series]);
    dirty_.clear();
  }
  std::pair<double, int64_t> Read(int stream, int metric) override {
    Cursor row = db_->Query(
        "SELECT n, step_begin, step_stride, tokens_begin, tokens_stride, data FROM blobs WHERE "
        "stream = ?1 AND metric = ?2 ORDER BY step_begin",
        stream, metric);
    double sum = 0;
    int64_t count = 0;
    while (row.Next()) {
      const auto* data = static_cast<const char*>(sqlite3_column_blob(row.statement(), 5));
      for (int64_t i = 0; i < row.Int(0); ++i) {
        double value;
        std::memcpy(&value, data + i * sizeof(value), sizeof(value));
        const int64_t at = row.Int(1) + i * row.Int(2) + row.Int(3) + i * row.Int(4);
        sum += value + 1e-12 * at;
        ++count;
      }
    }
    return {sum, count};
  }

 private:
  static constexpr size_t kPoints = 256;
  struct Tail {
    int64_t id = 0;
    int64_t step = 0, step_stride = 0, tokens = 0, tokens_stride = 0;
    std::vector<double> values;
    bool dirty = false;
  };
  void Write(int series, Tail* tail) {
    Cursor cursor = db_->Query(
        tail->id == 0
            ? "INSERT INTO blobs (stream, metric, attempt, n, step_begin, step_stride, "
              "tokens_begin, tokens_stride, data) VALUES (?1, ?2, ?1, ?3, ?4, ?5, ?6, ?7, ?8)"
            : "UPDATE blobs SET n = ?3, step_stride = ?5, tokens_stride = ?7, data = ?8 WHERE id "
              "= ?9",
        series / 64, series % 64, tail->values.size(), tail->step, tail->step_stride, tail->tokens,
        tail->tokens_stride);
    sqlite3_bind_blob64(cursor.statement(), 8, tail->values.data(),
                        tail->values.size() * sizeof(double), SQLITE_STATIC);
    if (tail->id != 0) cursor.BindOne(9, tail->id);
    Must(cursor.Finish());
    if (tail->id == 0) tail->id = db_->last_insert_id();
    tail->dirty = false;
  }
  std::vector<Tail> tails_;
  std::vector<int> dirty_;
};

NewSweep SweepOf(int trials) {
  NewSweep sweep;
  sweep.name = "bench";
  sweep.spec_sha256 = Sha256Hex("bench");
  for (int i = 0; i < trials; ++i) {
    NewCell cell;
    cell.config_json = absl::StrCat("{\"cell\":", i, "}");
    cell.sha256 = Sha256Hex(cell.config_json);
    cell.arm = "all";
    cell.tokens = 1000;
    sweep.trials.push_back({i, 0, Sha256Hex(cell.sha256)});
    sweep.tasks.push_back({{i}, 0, 1000, -1});
    sweep.cells.push_back(std::move(cell));
  }
  return sweep;
}

// A store with `trials` leased tasks; attempt, task and trial i+1 belong together.
std::unique_ptr<Store> LeasedStore(const std::string& path, int trials) {
  auto store = Must(Store::Open(path));
  Must(store->Begin());
  Must(store->CreateSweep(SweepOf(trials)).status());
  WorkerRow worker;
  worker.worker_id = "host";
  Must(store->UpsertWorker(worker).status());
  for (int i = 0; i < trials; ++i) {
    NewAttempt attempt;
    attempt.task_id = i + 1;
    attempt.worker_id = "host";
    attempt.slot = i;
    Must(store->InsertAttempt(attempt).status());
  }
  Must(store->Commit());
  return store;
}

class Columns : public Layout {
 public:
  explicit Columns(const std::string& path, int streams)
      : Layout((LeasedStore(path, streams), path)), writer_(db_.get()) {
    Must(db_->Script("BEGIN"));
    for (int metric = 1; metric <= Load::kDense + Load::kProbes; ++metric) {
      Must(writer_.MetricId(absl::StrCat("metric/", metric)).status());
    }
    Must(db_->Script("COMMIT"));
  }
  void Append(int stream, int metric, int64_t step, int64_t tokens, double value) override {
    Must(writer_.Append(stream, metric, stream, step, tokens, value));
  }
  void Flush() override { Must(writer_.Flush()); }
  std::pair<double, int64_t> Read(int stream, int metric) override {
    const Curve curve = Must(ReadCurvePoints(db_.get(), {stream, absl::StrCat("metric/", metric)}));
    double sum = 0;
    for (const PointRow& point : curve.points) {
      sum += point.value + 1e-12 * (point.step + point.tokens);
    }
    return {sum, curve.total_points};
  }

 private:
  PointWriter writer_;
};

std::unique_ptr<Layout> MakeLayout(const std::string& name, const std::string& path,
                                   const Load& load) {
  if (name == "rows") return std::make_unique<Rows>(path);
  if (name == "blobs") return std::make_unique<Blobs>(path);
  return std::make_unique<Columns>(path, load.streams);
}

// Streams in blocks of `active`; each commit holds one batch of every stream of a block.
int64_t Ingest(Layout* layout, const Load& load) {
  int64_t commits = 0;
  for (int first = 1; first <= load.streams; first += load.active) {
    const int last = std::min(first + load.active - 1, load.streams);
    for (int row = 0; row < load.rows; row += load.rows_of_batch) {
      Must(layout->db()->Script("BEGIN IMMEDIATE"));
      for (int stream = first; stream <= last; ++stream) {
        for (int i = row; i < std::min(row + load.rows_of_batch, load.rows); ++i) {
          for (int metric = 1; metric <= load.MetricsOfRow(i); ++metric) {
            layout->Append(stream, metric, StepOf(i), TokensOf(i), ValueOf(stream, metric, i));
          }
        }
        // A batch is stored as a whole before the next one is looked at.
        layout->Flush();
      }
      Must(layout->db()->Script("COMMIT"));
      ++commits;
    }
  }
  return commits;
}

struct LayoutFigures {
  std::vector<double> points_per_s, cpu_us_per_point, bytes_per_point, read_ms, read_cpu_ms;
};

void MeasureLayout(const std::string& name, const std::string& path, const Load& load,
                   LayoutFigures* figures) {
  RemoveStore(path);
  const int64_t points = load.Points();
  int64_t empty_bytes = 0;
  {
    auto layout = MakeLayout(name, path, load);
    Must(layout->db()->Script("PRAGMA wal_checkpoint(TRUNCATE)"));
    empty_bytes = FileBytes(path);
    const std::clock_t cpu = std::clock();
    const double wall = Seconds([&] { Ingest(layout.get(), load); });
    figures->points_per_s.push_back(points / wall);
    figures->cpu_us_per_point.push_back(1e6 * static_cast<double>(std::clock() - cpu) /
                                        CLOCKS_PER_SEC / points);
    Must(layout->db()->Script("PRAGMA wal_checkpoint(TRUNCATE)"));
    figures->bytes_per_point.push_back(static_cast<double>(FileBytes(path) - empty_bytes) / points);
    std::vector<double> reads, cpu_reads;
    for (int i = 0; i < 5; ++i) {
      int64_t count = 0;
      const std::clock_t before = std::clock();
      reads.push_back(Seconds([&] {
        for (int stream = 1; stream <= load.streams; ++stream) {
          count += layout->Read(stream, 1).second;
        }
      }));
      cpu_reads.push_back(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC);
      if (count != int64_t{load.streams} * load.rows) {
        std::fprintf(stderr, "%s: read %lld points\n", name.c_str(), static_cast<long long>(count));
        std::exit(1);
      }
    }
    figures->read_ms.push_back(1e3 * Median(reads));
    figures->read_cpu_ms.push_back(1e3 * Median(cpu_reads));
  }
  RemoveStore(path);
}

void CompareLayouts(const std::string& dir, Load load, int rounds) {
  const std::vector<std::string> names = {"rows", "blobs", "columns"};
  std::printf("%d streams x %d rows, %lld points; commits of %d batches of %d rows; %d rounds\n",
              load.streams, load.rows, static_cast<long long>(load.Points()), load.active,
              load.rows_of_batch, rounds);
  std::vector<LayoutFigures> figures(names.size());
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < names.size(); ++i) {
      MeasureLayout(names[i], dir + "/bench-layout.db", load, &figures[i]);
    }
  }
  std::printf("%-8s %14s %10s %8s %10s   %s\n", "layout", "durable pts/s", "cpu us/pt", "bytes/pt",
              "read ms", absl::StrCat("(", load.streams, " curves)").c_str());
  for (size_t i = 0; i < names.size(); ++i) {
    std::printf("%-8s %14.0f %10.3f %9.1f %9.1f %12.1f\n", names[i].c_str(),
                Median(figures[i].points_per_s), Median(figures[i].cpu_us_per_point),
                Median(figures[i].bytes_per_point), Median(figures[i].read_ms),
                Median(figures[i].read_cpu_ms));
  }
}

// Durable points a second through ApplyBatch, `active` batches to a commit.
double StorePoints(const std::string& path, const Load& load, int commits) {
  RemoveStore(path);
  auto store = LeasedStore(path, load.active);
  int64_t points = 0;
  const double wall = Seconds([&] {
    for (int commit = 0; commit < commits; ++commit) {
      Must(store->Begin());
      for (int stream = 1; stream <= load.active; ++stream) {
        Batch batch;
        batch.attempt_id = stream;
        batch.first_seq = int64_t{commit} * load.rows_of_batch;
        for (int metric = 1; metric <= Load::kDense + Load::kProbes; ++metric) {
          batch.metrics.push_back(absl::StrCat("metric/", metric));
        }
        for (int i = 0; i < load.rows_of_batch; ++i) {
          const int row = commit * load.rows_of_batch + i;
          MetricRow event{0, StepOf(row), TokensOf(row), {}};
          for (int metric = 0; metric < load.MetricsOfRow(row); ++metric) {
            event.values.push_back({metric, ValueOf(stream, metric, row)});
          }
          points += static_cast<int64_t>(event.values.size());
          batch.events.emplace_back(std::move(event));
        }
        Must(store->ApplyBatch(batch).status());
      }
      Must(store->Commit());
    }
  });
  store.reset();
  RemoveStore(path);
  return points / wall;
}

// Bare SQLite: the same points and commits as single-row inserts without any index.
double BarePoints(const std::string& path, const Load& load, int commits) {
  RemoveStore(path);
  int64_t points = 0;
  double wall = 0;
  {
    auto db = Must(Connection::Open(path, Connection::Mode::kCreate));
    Must(db->Script("CREATE TABLE p (a INTEGER, b INTEGER, c INTEGER, d INTEGER, e REAL)"));
    wall = Seconds([&] {
      for (int commit = 0; commit < commits; ++commit) {
        Must(db->Script("BEGIN IMMEDIATE"));
        for (int stream = 1; stream <= load.active; ++stream) {
          for (int i = 0; i < load.rows_of_batch; ++i) {
            const int row = commit * load.rows_of_batch + i;
            for (int metric = 0; metric < load.MetricsOfRow(row); ++metric, ++points) {
              Must(db->Run("INSERT INTO p VALUES (?1, ?2, ?3, ?4, ?5)", stream, metric, StepOf(row),
                           TokensOf(row), ValueOf(stream, metric, row)));
            }
          }
        }
        Must(db->Script("COMMIT"));
      }
    });
  }
  RemoveStore(path);
  return points / wall;
}

// Lease, end and task update of `per_commit` attempts in each commit.
double StoreDispatches(const std::string& path, int per_commit, int commits) {
  RemoveStore(path);
  auto store = LeasedStore(path, per_commit);
  const double wall = Seconds([&] {
    int64_t live = 1;
    for (int commit = 0; commit < commits; ++commit) {
      Must(store->Begin());
      for (int i = 0; i < per_commit; ++i, ++live) {
        Must(store->UpdateAttempt(live, {AttemptState::kLost, 1, 0, 0, ""}));
        Must(store->UpdateTask(i + 1, {}));
        NewAttempt attempt;
        attempt.task_id = i + 1;
        attempt.worker_id = "host";
        attempt.slot = i;
        Must(store->InsertAttempt(attempt).status());
        EventRow event;
        event.kind = "attempt.leased";
        event.attempt_id = live;
        Must(store->AppendEvent(event).status());
      }
      Must(store->Commit());
    }
  });
  store.reset();
  RemoveStore(path);
  return per_commit * commits / wall;
}

// Bare SQLite: one row inserted and one updated for each dispatch, the same commits.
double BareDispatches(const std::string& path, int per_commit, int commits) {
  RemoveStore(path);
  double wall = 0;
  {
    auto db = Must(Connection::Open(path, Connection::Mode::kCreate));
    Must(db->Script("CREATE TABLE a (id INTEGER PRIMARY KEY, task INTEGER, state TEXT)"));
    wall = Seconds([&] {
      for (int commit = 0; commit < commits; ++commit) {
        Must(db->Script("BEGIN IMMEDIATE"));
        for (int i = 0; i < per_commit; ++i) {
          Must(db->Run("INSERT INTO a (task, state) VALUES (?1, 'LEASED')", i));
          Must(db->Run("UPDATE a SET state = 'LOST' WHERE id = ?1", db->last_insert_id()));
        }
        Must(db->Script("COMMIT"));
      }
    });
  }
  RemoveStore(path);
  return per_commit * commits / wall;
}

void PrintRatio(const char* what, std::vector<double> ours, std::vector<double> bare) {
  std::printf("%-34s %12.0f /s   bare SQLite %12.0f /s   ratio %.2f\n", what, Median(ours),
              Median(bare), Median(ours) / Median(bare));
}

void CompareWithBare(const std::string& dir, Load load, int rounds, int commits) {
  const std::string path = dir + "/bench-store.db";
  for (const int rows : {1, load.rows_of_batch}) {
    load.rows_of_batch = rows;
    std::vector<double> ours, bare;
    for (int round = 0; round < rounds; ++round) {
      ours.push_back(StorePoints(path, load, commits));
      bare.push_back(BarePoints(path, load, commits));
    }
    PrintRatio(absl::StrCat("durable points, batches of ", rows, " rows").c_str(), ours, bare);
  }
  for (const int per_commit : {1, 64}) {
    std::vector<double> ours, bare;
    for (int round = 0; round < rounds; ++round) {
      ours.push_back(StoreDispatches(path, per_commit, commits));
      bare.push_back(BareDispatches(path, per_commit, commits));
    }
    PrintRatio(absl::StrCat("durable dispatches, ", per_commit, " a commit").c_str(), ours, bare);
  }
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) {
  std::string dir = ".";
  int rounds = 3;
  bool smoke = false;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--smoke") {
      smoke = true;
    } else if (flag == "--dir" && i + 1 < argc) {
      dir = argv[++i];
    } else if (flag == "--rounds" && i + 1 < argc) {
      rounds = std::max(1, std::atoi(argv[++i]));
    } else {
      std::fprintf(stderr, "usage: bench_store [--dir DIR] [--rounds N] [--smoke]\n");
      return 2;
    }
  }
  loglog::Load load;
  int commits = 100;
  if (smoke) {
    load = {.streams = 8, .active = 4, .rows = 40};
    rounds = 1;
    commits = 3;
  }
  loglog::CompareLayouts(dir, load, rounds);
  load.rows_of_batch = 1;
  load.rows = smoke ? 10 : 100;
  loglog::CompareLayouts(dir, load, rounds);
  load.rows_of_batch = 10;
  loglog::CompareWithBare(dir, load, rounds, commits);
  return 0;
}
