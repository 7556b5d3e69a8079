#ifndef LOGLOG_TESTS_SIM_FAULTY_VFS_H_
#define LOGLOG_TESTS_SIM_FAULTY_VFS_H_

#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace loglog::sim {

// A disk under SQLite that keeps apart what was written from what was synced, and that
// fails as disks do. It stands before SQLite's own file layer and is the default one of
// the process from its construction to its destruction, so the store needs no change to
// run on it.
//
// Times of a disk: it works; its process dies (Die: nothing reaches the files any more);
// the next process finds what is left (Revive). Not thread-safe; one lives at a time.
class FaultyVfs {
 public:
  explicit FaultyVfs(uint64_t seed);
  ~FaultyVfs();
  FaultyVfs(const FaultyVfs&) = delete;
  FaultyVfs& operator=(const FaultyVfs&) = delete;

  // Chances that one read, write or sync fails with an input/output error.
  struct Chances {
    double read = 0;
    double write = 0;
    double sync = 0;
  };
  void SetErrors(const Chances& chances) { errors_ = chances; }
  // No file can grow.
  void SetFull(bool full) { full_ = full; }

  void Die() { dead_ = true; }
  bool dead() const { return dead_; }
  // Dies in the middle of the n-th write or sync from now (0: not at all).
  void DieAt(int64_t writes) { writes_left_ = writes; }
  // The next process may come. After a loss of power, what was written since the last
  // sync of its file is there, torn or gone, piece by piece.
  void Revive(bool power_lost);

  // While one lives the disk does not fail, for those who only look.
  class Calm {
   public:
    explicit Calm(FaultyVfs* disk) : disk_(disk) { ++disk_->calm_; }
    ~Calm() { --disk_->calm_; }
    Calm(const Calm&) = delete;
    Calm& operator=(const Calm&) = delete;

   private:
    FaultyVfs* const disk_;
  };

  // How often something was refused or lost, for the report.
  int64_t faults() const { return faults_; }
  int64_t writes() const { return writes_; }

  // ---- for the file methods
  struct Change {
    bool truncate = false;
    int64_t offset = 0;
    std::string bytes;  // of a write
  };
  struct Content {
    std::string synced;           // as of the last sync
    std::vector<Change> changes;  // since then
  };
  enum class Operation { kRead, kWrite, kSync };
  enum class Fate { kWorks, kFails, kDies };
  Fate Decide(Operation operation);
  bool full() const { return full_; }
  // Whether a torn write keeps to its own bytes. They all do here; SQLite, and the store's
  // layer above, take other ways where nothing is promised, as every second disk has it.
  bool powersafe_overwrite() const { return powersafe_overwrite_; }
  void CountFault() { ++faults_; }
  Content* Find(const std::string& path);
  void Forget(const std::string& path) { files_.erase(path); }
  sqlite3_vfs* below() const { return below_; }

 private:
  bool Chance(double probability);

  std::mt19937_64 random_;
  const bool powersafe_overwrite_;
  sqlite3_vfs* const below_;
  sqlite3_vfs vfs_;
  std::map<std::string, std::unique_ptr<Content>> files_;
  Chances errors_;
  bool full_ = false;
  int calm_ = 0;
  bool dead_ = false;
  int64_t writes_left_ = 0;
  int64_t writes_ = 0;
  int64_t faults_ = 0;
};

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_FAULTY_VFS_H_
