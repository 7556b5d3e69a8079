#ifndef LOGLOG_STORE_STORE_FILE_H_
#define LOGLOG_STORE_STORE_FILE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace loglog {

// Holds PATH.lock for the life of the object, so that one process writes a store. The
// kernel frees it when the process ends, however it ends. The file stays: removing it
// would let two processes hold two files of one name.
class FileLock {
 public:
  // FAILED_PRECONDITION names the process that has it.
  static absl::StatusOr<std::unique_ptr<FileLock>> Take(const std::string& store_path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  const int fd_;
};

// NOT_FOUND: the directory of `store_path` is missing. PERMISSION_DENIED: it, or the
// file, cannot be written.
absl::Status CheckStorePlace(const std::string& store_path, bool create);

// FAILED_PRECONDITION when the directory of `store_path` is on a network file system.
absl::Status RefuseNetworkFileSystem(const std::string& store_path);

// A file that is there must be empty or start as SQLite databases do: DATA_LOSS. Asked
// before SQLite sees it, because opening for writing may change it.
absl::Status RefuseForeignFile(const std::string& store_path);

// The name of a network file system by its statfs magic number; null for others.
const char* NetworkFileSystemName(unsigned long magic);

}  // namespace loglog

#endif  // LOGLOG_STORE_STORE_FILE_H_
