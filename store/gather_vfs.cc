#include "store/gather_vfs.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>

#include "base/mutex.h"

namespace loglog {
namespace {

constexpr char kName[] = "loglog-gather";
// Of a large transaction a part is written whenever so much is held. SQLite's layer for Unix
// keeps the lowest 17 bits of a size (seekAndWriteFd), so 128 kB at once would be none.
constexpr size_t kHeldBytesMax = (size_t{1} << 17) - 1;

// A log, the newest part of which is held back.
struct Log {
  std::unique_ptr<std::max_align_t[]> memory;  // of the file below
  bool gathers = false;
  std::string held;
  sqlite3_int64 held_offset = 0;

  sqlite3_file* below() const { return reinterpret_cast<sqlite3_file*>(memory.get()); }
  const sqlite3_io_methods& call() const { return *below()->pMethods; }
};

// What SQLite holds of it, in memory of its own.
struct LogFile {
  sqlite3_file base;
  Log* log;
};

Log& LogOf(sqlite3_file* file) { return *reinterpret_cast<LogFile*>(file)->log; }

// What failed is not held any longer: SQLite gives the transaction up and writes the next
// one to the same place.
int WriteHeld(Log* log) {
  if (log->held.empty()) return SQLITE_OK;
  const int code = log->call().xWrite(log->below(), log->held.data(),
                                      static_cast<int>(log->held.size()), log->held_offset);
  log->held.clear();
  return code;
}

int Write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
  Log& log = LogOf(file);
  if (!log.gathers) return log.call().xWrite(log.below(), bytes, size, offset);
  const bool follows = offset == log.held_offset + static_cast<sqlite3_int64>(log.held.size());
  if (!follows || log.held.size() + size > kHeldBytesMax) {
    const int code = WriteHeld(&log);
    if (code != SQLITE_OK) return code;
  }
  if (log.held.empty()) log.held_offset = offset;
  log.held.append(static_cast<const char*>(bytes), size);
  return SQLITE_OK;
}

// Calls the layer below once everything is there.
template <typename Call>
int AfterWrite(sqlite3_file* file, Call call) {
  Log& log = LogOf(file);
  const int code = WriteHeld(&log);
  return code != SQLITE_OK ? code : call(log.call(), log.below());
}

int Close(sqlite3_file* file) {
  const std::unique_ptr<Log> log(&LogOf(file));
  file->pMethods = nullptr;
  const int written = WriteHeld(log.get());
  const int closed = log->call().xClose(log->below());
  return written != SQLITE_OK ? written : closed;
}

int Read(sqlite3_file* file, void* bytes, int size, sqlite3_int64 offset) {
  return AfterWrite(
      file, [&](auto& to, sqlite3_file* below) { return to.xRead(below, bytes, size, offset); });
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  return AfterWrite(file, [&](auto& to, sqlite3_file* below) { return to.xTruncate(below, size); });
}

int Sync(sqlite3_file* file, int flags) {
  return AfterWrite(file, [&](auto& to, sqlite3_file* below) { return to.xSync(below, flags); });
}

int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  return AfterWrite(file, [&](auto& to, sqlite3_file* below) { return to.xFileSize(below, size); });
}

int Lock(sqlite3_file* file, int level) {
  return LogOf(file).call().xLock(LogOf(file).below(), level);
}

int Unlock(sqlite3_file* file, int level) {
  return LogOf(file).call().xUnlock(LogOf(file).below(), level);
}

int CheckReservedLock(sqlite3_file* file, int* reserved) {
  return LogOf(file).call().xCheckReservedLock(LogOf(file).below(), reserved);
}

int FileControl(sqlite3_file* file, int operation, void* argument) {
  return LogOf(file).call().xFileControl(LogOf(file).below(), operation, argument);
}

int SectorSize(sqlite3_file* file) { return LogOf(file).call().xSectorSize(LogOf(file).below()); }

int DeviceCharacteristics(sqlite3_file* file) {
  return LogOf(file).call().xDeviceCharacteristics(LogOf(file).below());
}

constexpr sqlite3_io_methods kLogMethods = {
    .iVersion = 1,
    .xClose = Close,
    .xRead = Read,
    .xWrite = Write,
    .xTruncate = Truncate,
    .xSync = Sync,
    .xFileSize = FileSize,
    .xLock = Lock,
    .xUnlock = Unlock,
    .xCheckReservedLock = CheckReservedLock,
    .xFileControl = FileControl,
    .xSectorSize = SectorSize,
    .xDeviceCharacteristics = DeviceCharacteristics,
};

sqlite3_vfs* Below() { return sqlite3_vfs_find(nullptr); }

int Open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  sqlite3_vfs* below = Below();
  if ((flags & SQLITE_OPEN_WAL) == 0) return below->xOpen(below, name, file, flags, out_flags);
  file->pMethods = nullptr;
  auto log = std::make_unique<Log>();
  log->memory =
      std::make_unique<std::max_align_t[]>(below->szOsFile / sizeof(std::max_align_t) + 1);
  const int code = below->xOpen(below, name, log->below(), flags, out_flags);
  if (log->below()->pMethods == nullptr) return code;
  // Where a torn write may reach beyond itself SQLite fills the log up to a sector, syncs
  // inside the last frame and tells of it before the rest is synced.
  log->gathers =
      (log->call().xDeviceCharacteristics(log->below()) & SQLITE_IOCAP_POWERSAFE_OVERWRITE) != 0;
  reinterpret_cast<LogFile*>(file)->log = log.release();
  file->pMethods = &kLogMethods;
  return code;
}

int Delete(sqlite3_vfs*, const char* name, int sync) {
  return Below()->xDelete(Below(), name, sync);
}

int Access(sqlite3_vfs*, const char* name, int flags, int* result) {
  return Below()->xAccess(Below(), name, flags, result);
}

int FullPathname(sqlite3_vfs*, const char* name, int size, char* path) {
  return Below()->xFullPathname(Below(), name, size, path);
}

int Randomness(sqlite3_vfs*, int size, char* bytes) {
  return Below()->xRandomness(Below(), size, bytes);
}

int Sleep(sqlite3_vfs*, int microseconds) { return Below()->xSleep(Below(), microseconds); }

int CurrentTime(sqlite3_vfs*, double* days) { return Below()->xCurrentTime(Below(), days); }

int GetLastError(sqlite3_vfs*, int size, char* text) {
  return Below()->xGetLastError(Below(), size, text);
}

int CurrentTimeInt64(sqlite3_vfs*, sqlite3_int64* ms) {
  return Below()->xCurrentTimeInt64(Below(), ms);
}

sqlite3_vfs gather = {
    .iVersion = 2,
    .szOsFile = sizeof(LogFile),
    .zName = kName,
    .xOpen = Open,
    .xDelete = Delete,
    .xAccess = Access,
    .xFullPathname = FullPathname,
    .xRandomness = Randomness,
    .xSleep = Sleep,
    .xCurrentTime = CurrentTime,
    .xGetLastError = GetLastError,
    .xCurrentTimeInt64 = CurrentTimeInt64,
};

}  // namespace

const char* GatherVfsName() {
  static Mutex mutex;
  const MutexLock lock(mutex);
  const sqlite3_vfs* below = Below();
  gather.szOsFile = std::max(gather.szOsFile, below->szOsFile);
  gather.mxPathname = below->mxPathname;
  if (sqlite3_vfs_find(kName) == nullptr) sqlite3_vfs_register(&gather, /*makeDflt=*/0);
  return kName;
}

}  // namespace loglog
