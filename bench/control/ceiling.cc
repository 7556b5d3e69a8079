#include "bench/control/ceiling.h"

#include <algorithm>
#include <memory>

#include "bench/control/bench.h"
#include "bench/control/server.h"
#include "store/connection.h"

namespace loglog::bench {
namespace {

std::unique_ptr<Connection> Bare(const std::string& path) {
  RemoveStore(path);
  auto db = Must(Connection::Open(path, Connection::Mode::kCreate));
  Must(db->Script(
      "CREATE TABLE trials (id INTEGER PRIMARY KEY, state TEXT NOT NULL) STRICT;"
      "CREATE TABLE points (id INTEGER PRIMARY KEY, series INTEGER NOT NULL, step INTEGER NOT "
      "NULL, tokens INTEGER NOT NULL, value REAL) STRICT;"));
  return db;
}

void AddPoint(Connection* db, int64_t series, int64_t step) {
  Must(db->Run("INSERT INTO points (series, step, tokens, value) VALUES (?1, ?2, ?3, ?4)", series,
               step, step * 64, 3.0 + 1.0 / static_cast<double>(step)));
}

}  // namespace

double BareTrials(const std::string& path, int trials, int slots) {
  auto db = Bare(path);
  const double seconds = Seconds([&] {
    for (int first = 0; first < trials + slots; first += slots) {
      const int last = std::min(trials, first + slots);
      Must(db->Script("BEGIN IMMEDIATE"));
      for (int i = std::max(0, first - slots); i < std::min(trials, first); ++i) {
        Must(db->Run("UPDATE trials SET state = 'DONE' WHERE id = ?1", i + 1));
      }
      for (int i = first; i < last; ++i) {
        Must(db->Run("INSERT INTO trials (id, state) VALUES (?1, 'RUNNING')", i + 1));
      }
      Must(db->Script("COMMIT; BEGIN IMMEDIATE"));
      for (int i = first; i < last; ++i) {
        for (int step = 1; step <= 10; ++step) AddPoint(db.get(), i + 1, step);
      }
      Must(db->Script("COMMIT"));
    }
  });
  db.reset();
  RemoveStore(path);
  return trials / seconds;
}

double BareDispatches(const std::string& path, int trials, int slots) {
  auto db = Bare(path);
  const double seconds = Seconds([&] {
    for (int first = 0; first < trials; first += slots) {
      for (int commit = 0; commit < 2; ++commit) {
        Must(db->Script("BEGIN IMMEDIATE"));
        for (int slot = 0; slot < slots; ++slot) AddPoint(db.get(), slot, first + commit + 1);
        Must(db->Script("COMMIT"));
      }
    }
  });
  db.reset();
  RemoveStore(path);
  return trials / seconds;
}

double BarePoints(const std::string& path, int64_t points, int64_t points_of_commit) {
  auto db = Bare(path);
  const double seconds = Seconds([&] {
    for (int64_t first = 0; first < points; first += points_of_commit) {
      Must(db->Script("BEGIN IMMEDIATE"));
      const int64_t last = std::min(points, first + points_of_commit);
      for (int64_t i = first; i < last; ++i) AddPoint(db.get(), i % 64, i / 64 + 1);
      Must(db->Script("COMMIT"));
    }
  });
  db.reset();
  RemoveStore(path);
  return static_cast<double>(points) / seconds;
}

std::vector<double> BareCommitPairs(const std::string& path, int count) {
  auto db = Bare(path);
  std::vector<double> ms;
  for (int i = 0; i < count; ++i) {
    ms.push_back(1000 * Seconds([&] {
                   for (int half = 0; half < 2; ++half) {
                     Must(db->Run("INSERT INTO trials (id, state) VALUES (?1, 'RUNNING')",
                                  2 * i + half + 1));
                   }
                 }));
  }
  db.reset();
  RemoveStore(path);
  return ms;
}

}  // namespace loglog::bench
