#ifndef LOGLOG_STORE_STORE_FILE_H_
#define LOGLOG_STORE_STORE_FILE_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file.h"

namespace loglog {

// The absolute path of the file that `path` means, symbolic links followed also where the
// file itself is not there yet. NOT_FOUND: its directory is missing.
absl::StatusOr<std::string> CanonicalStorePath(const std::string& path);

// Takes PATH.lock, so that one process writes a store. The kernel frees it when the
// process ends, however it ends. FAILED_PRECONDITION names the process that has it.
absl::StatusOr<std::unique_ptr<LockFile>> LockStore(const std::string& store_path);

// NOT_FOUND: the directory of `store_path` is missing. PERMISSION_DENIED: it, or the
// file, cannot be written.
absl::Status CheckStorePlace(const std::string& store_path, bool create);

// The permissions of a file, for a copy of it. NOT_FOUND.
absl::StatusOr<mode_t> FileMode(const std::string& store_path);

// FAILED_PRECONDITION when the directory of `store_path` is on a network file system.
absl::Status RefuseNetworkFileSystem(const std::string& store_path);

// A file that is there must be empty or start as SQLite databases do: DATA_LOSS. Asked
// before SQLite sees it, because opening for writing may change it.
absl::Status RefuseForeignFile(const std::string& store_path);

// The name of a network file system by its statfs magic number; null for others.
const char* NetworkFileSystemName(unsigned long magic);

}  // namespace loglog

#endif  // LOGLOG_STORE_STORE_FILE_H_
