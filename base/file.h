#ifndef LOGLOG_BASE_FILE_H_
#define LOGLOG_BASE_FILE_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog {

// Files, as the daemons use them. Every error names the path. Thread-safe.

// An errno as a status: `what` says what failed ("cannot write /a/b").
absl::Status ErrnoStatus(int error, absl::string_view what);

// The whole file. NOT_FOUND when it is not there.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Replaces the file so that after a crash it holds either the old or the new bytes,
// and the new ones once this has returned: temporary file beside it, fsync, rename,
// fsync of the folder.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes,
                                 mode_t mode = 0644);

// The same for what need not outlive the machine: old or new bytes after `kill -9`, but
// after a loss of power perhaps neither. Waits for no disk.
absl::Status ReplaceFile(const std::string& path, absl::string_view bytes, mode_t mode = 0644);

// Makes the folder and those above it that are missing, each with `mode`.
absl::Status MakeDirs(const std::string& path, mode_t mode = 0755);

// Removes a file or a folder with everything in it; fine when it is not there.
// Symbolic links are removed, never followed.
absl::Status RemoveTree(const std::string& path);

// Names of the entries of a folder, sorted, without "." and "..".
absl::StatusOr<std::vector<std::string>> ListDir(const std::string& path);

bool PathExists(const std::string& path);

// A folder itself; a symbolic link to one is none.
bool IsFolder(const std::string& path);

// `path` itself when absolute, else under the current folder. Touches no file.
std::string AbsolutePath(const std::string& path);

// Bytes that a process without privileges may still write where `path` lies.
absl::StatusOr<int64_t> FreeDiskBytes(const std::string& path);

// A file locked for as long as this object lives, so that one process at a time owns
// what lies beside it. The kernel drops the lock when the process ends, however it
// ends; the file itself stays and holds the pid of its last owner, for messages only.
class LockFile {
 public:
  // FAILED_PRECONDITION names the path and the pid of the process that holds it. When
  // that one is dead, only a child that it was just starting can, for a moment: waits.
  static absl::StatusOr<std::unique_ptr<LockFile>> Acquire(const std::string& path);
  ~LockFile();
  LockFile(const LockFile&) = delete;
  LockFile& operator=(const LockFile&) = delete;

 private:
  explicit LockFile(int fd) : fd_(fd) {}
  const int fd_;
};

}  // namespace loglog

#endif  // LOGLOG_BASE_FILE_H_
