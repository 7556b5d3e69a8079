#include "tests/sim/faulty_vfs.h"

#include <unistd.h>

#include <fstream>
#include <iterator>

#include "base/check.h"

namespace loglog::sim {
namespace {

using Fate = FaultyVfs::Fate;
using Operation = FaultyVfs::Operation;

constexpr int64_t kSectorBytes = 512;

// SQLite allocates szOsFile bytes for it; the file of the layer below follows it there.
struct File {
  sqlite3_file base;
  FaultyVfs* disk;
  FaultyVfs::Content* content;  // null: nobody needs it after a crash (temporary files)
  sqlite3_file* below() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

File* Of(sqlite3_file* file) { return reinterpret_cast<File*>(file); }

void ApplyTo(std::string* bytes, const FaultyVfs::Change& change) {
  if (change.truncate) {
    bytes->resize(change.offset);
    return;
  }
  const size_t end = change.offset + change.bytes.size();
  if (bytes->size() < end) bytes->resize(end);
  bytes->replace(change.offset, change.bytes.size(), change.bytes);
}

int Close(sqlite3_file* file) {
  sqlite3_file* const below = Of(file)->below();
  return below->pMethods == nullptr ? SQLITE_OK : below->pMethods->xClose(below);
}

int Read(sqlite3_file* file, void* to, int size, sqlite3_int64 offset) {
  File* const self = Of(file);
  if (self->disk->Decide(Operation::kRead) != Fate::kWorks) return SQLITE_IOERR_READ;
  return self->below()->pMethods->xRead(self->below(), to, size, offset);
}

int Write(sqlite3_file* file, const void* from, int size, sqlite3_int64 offset) {
  File* const self = Of(file);
  sqlite3_file* const below = self->below();
  const Fate fate = self->disk->Decide(Operation::kWrite);
  if (fate == Fate::kFails) return SQLITE_IOERR_WRITE;
  if (fate == Fate::kDies) size = size / 2;  // torn
  if (self->disk->full()) {
    sqlite3_int64 now = 0;
    below->pMethods->xFileSize(below, &now);
    if (offset + size > now) {
      self->disk->CountFault();
      return SQLITE_FULL;
    }
  }
  if (self->content != nullptr) {
    self->content->changes.push_back(
        {.offset = offset, .bytes = std::string(static_cast<const char*>(from), size)});
  }
  const int code = below->pMethods->xWrite(below, from, size, offset);
  return fate == Fate::kDies ? SQLITE_IOERR_WRITE : code;
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  File* const self = Of(file);
  if (self->disk->Decide(Operation::kWrite) != Fate::kWorks) return SQLITE_IOERR_TRUNCATE;
  if (self->content != nullptr) {
    self->content->changes.push_back({.truncate = true, .offset = size, .bytes = ""});
  }
  return self->below()->pMethods->xTruncate(self->below(), size);
}

int Sync(sqlite3_file* file, int /*flags*/) {
  File* const self = Of(file);
  if (self->disk->Decide(Operation::kSync) != Fate::kWorks) return SQLITE_IOERR_FSYNC;
  if (self->content == nullptr) return SQLITE_OK;
  for (const FaultyVfs::Change& change : self->content->changes) {
    ApplyTo(&self->content->synced, change);
  }
  self->content->changes.clear();
  return SQLITE_OK;
}

int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  return Of(file)->below()->pMethods->xFileSize(Of(file)->below(), size);
}
int Lock(sqlite3_file* file, int level) {
  return Of(file)->below()->pMethods->xLock(Of(file)->below(), level);
}
int Unlock(sqlite3_file* file, int level) {
  return Of(file)->below()->pMethods->xUnlock(Of(file)->below(), level);
}
int CheckReservedLock(sqlite3_file* file, int* out) {
  return Of(file)->below()->pMethods->xCheckReservedLock(Of(file)->below(), out);
}
int FileControl(sqlite3_file* file, int op, void* arg) {
  return Of(file)->below()->pMethods->xFileControl(Of(file)->below(), op, arg);
}
int SectorSize(sqlite3_file*) { return kSectorBytes; }
int DeviceCharacteristics(sqlite3_file* file) {
  return Of(file)->disk->powersafe_overwrite() ? SQLITE_IOCAP_POWERSAFE_OVERWRITE : 0;
}
int ShmMap(sqlite3_file* file, int region, int size, int extend, void volatile** out) {
  return Of(file)->below()->pMethods->xShmMap(Of(file)->below(), region, size, extend, out);
}
int ShmLock(sqlite3_file* file, int offset, int n, int flags) {
  return Of(file)->below()->pMethods->xShmLock(Of(file)->below(), offset, n, flags);
}
void ShmBarrier(sqlite3_file* file) { Of(file)->below()->pMethods->xShmBarrier(Of(file)->below()); }
int ShmUnmap(sqlite3_file* file, int remove) {
  return Of(file)->below()->pMethods->xShmUnmap(Of(file)->below(), remove);
}

const sqlite3_io_methods kMethods = {
    2,
    Close,
    Read,
    Write,
    Truncate,
    Sync,
    FileSize,
    Lock,
    Unlock,
    CheckReservedLock,
    FileControl,
    SectorSize,
    DeviceCharacteristics,
    ShmMap,
    ShmLock,
    ShmBarrier,
    ShmUnmap,
    nullptr,
    nullptr,
};

FaultyVfs* DiskOf(sqlite3_vfs* vfs) { return static_cast<FaultyVfs*>(vfs->pAppData); }

int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  FaultyVfs* const disk = DiskOf(vfs);
  File* const self = new (file) File{};
  self->disk = disk;
  if (disk->dead()) return SQLITE_CANTOPEN;
  self->content = name == nullptr ? nullptr : disk->Find(name);
  const int code = disk->below()->xOpen(disk->below(), name, self->below(), flags, out_flags);
  if (code == SQLITE_OK) self->base.pMethods = &kMethods;
  return code;
}

int Delete(sqlite3_vfs* vfs, const char* name, int sync_dir) {
  FaultyVfs* const disk = DiskOf(vfs);
  if (disk->Decide(Operation::kWrite) != Fate::kWorks) return SQLITE_IOERR_DELETE;
  disk->Forget(name);
  return disk->below()->xDelete(disk->below(), name, sync_dir);
}

std::string Slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

FaultyVfs::FaultyVfs(uint64_t seed)
    : random_(seed),
      powersafe_overwrite_(seed % 2 == 1),
      below_(sqlite3_vfs_find(nullptr)),
      vfs_(*below_) {
  vfs_.zName = "loglog-sim";
  vfs_.pNext = nullptr;
  vfs_.pAppData = this;
  vfs_.szOsFile = static_cast<int>(sizeof(File)) + below_->szOsFile;
  vfs_.xOpen = Open;
  vfs_.xDelete = Delete;
  // The rest (access, names, time, ...) is the real one's, which its own pAppData serves.
  static sqlite3_vfs* real = nullptr;
  real = below_;
  vfs_.xAccess = [](sqlite3_vfs*, const char* name, int flags, int* out) {
    return real->xAccess(real, name, flags, out);
  };
  vfs_.xFullPathname = [](sqlite3_vfs*, const char* name, int size, char* out) {
    return real->xFullPathname(real, name, size, out);
  };
  vfs_.xRandomness = [](sqlite3_vfs*, int size, char* out) {
    return real->xRandomness(real, size, out);
  };
  vfs_.xSleep = [](sqlite3_vfs*, int us) { return real->xSleep(real, us); };
  vfs_.xCurrentTimeInt64 = [](sqlite3_vfs*, sqlite3_int64* out) {
    return real->xCurrentTimeInt64(real, out);
  };
  vfs_.xGetLastError = [](sqlite3_vfs*, int size, char* out) {
    return real->xGetLastError(real, size, out);
  };
  LOGLOG_CHECK(sqlite3_vfs_register(&vfs_, /*makeDflt=*/1) == SQLITE_OK);
}

FaultyVfs::~FaultyVfs() {
  sqlite3_vfs_unregister(&vfs_);
  sqlite3_vfs_register(below_, /*makeDflt=*/1);
}

bool FaultyVfs::Chance(double probability) {
  return probability > 0 && std::uniform_real_distribution<double>()(random_) < probability;
}

FaultyVfs::Fate FaultyVfs::Decide(Operation operation) {
  if (dead_) return Fate::kFails;
  if (operation != Operation::kRead) {
    ++writes_;
    if (writes_left_ > 0 && --writes_left_ == 0) {
      ++faults_;
      dead_ = true;
      return Fate::kDies;
    }
  }
  const double chance = operation == Operation::kRead    ? errors_.read
                        : operation == Operation::kWrite ? errors_.write
                                                         : errors_.sync;
  if (calm_ > 0 || !Chance(chance)) return Fate::kWorks;
  ++faults_;
  return Fate::kFails;
}

FaultyVfs::Content* FaultyVfs::Find(const std::string& path) {
  std::unique_ptr<Content>& content = files_[path];
  if (content == nullptr) {
    content = std::make_unique<Content>();
    content->synced = Slurp(path);
  }
  return content.get();
}

void FaultyVfs::Revive(bool power_lost) {
  for (const auto& [path, content] : files_) {
    std::string bytes = content->synced;
    for (const Change& change : content->changes) {
      Change kept = change;
      if (power_lost) {
        ++faults_;
        if (Chance(0.4)) continue;
        if (!kept.truncate && Chance(0.3)) {
          const int64_t sectors = static_cast<int64_t>(kept.bytes.size()) / kSectorBytes;
          kept.bytes.resize(std::uniform_int_distribution<int64_t>(0, sectors)(random_) *
                            kSectorBytes);
        }
      }
      ApplyTo(&bytes, kept);
    }
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    // The index of the log is memory that processes share: it died with them.
    unlink((path + "-shm").c_str());
  }
  files_.clear();
  dead_ = false;
  writes_left_ = 0;
  full_ = false;
}

}  // namespace loglog::sim
