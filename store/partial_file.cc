#include "store/partial_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

namespace loglog {
namespace {

// A journal that a killed process left would be played into the next file of that name.
void RemoveJournals(const std::string& path) {
  for (const char* suffix : {"-journal", "-wal", "-shm"}) unlink((path + suffix).c_str());
}

bool IsAt(int fd, const std::string& path) {
  struct stat mine = {}, there = {};
  return fstat(fd, &mine) == 0 && stat(path.c_str(), &there) == 0 && mine.st_ino == there.st_ino &&
         mine.st_dev == there.st_dev;
}

absl::Status SyncFolderOf(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  if (folder.empty()) folder = ".";
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  return synced ? absl::OkStatus() : ErrnoStatus(error, absl::StrCat("cannot fsync ", folder));
}

int Rename(const std::string& from, const std::string& to, PartialFile::Target target) {
  if (target == PartialFile::Target::kReplace) return std::rename(from.c_str(), to.c_str());
  const int result = renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE);
  // Some file systems cannot refuse; then a file that comes at this very moment is lost.
  if (result == 0 || (errno != EINVAL && errno != ENOSYS)) return result;
  if (PathExists(to)) {
    errno = EEXIST;
    return -1;
  }
  return std::rename(from.c_str(), to.c_str());
}

}  // namespace

absl::StatusOr<std::unique_ptr<PartialFile>> PartialFile::Create(const std::string& path,
                                                                 mode_t mode) {
  for (;;) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, mode);
    if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot create ", path));
    // Not SQLite's kind of lock, so the two do not meet.
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      close(fd);
      return absl::FailedPreconditionError(absl::StrCat(
          path, " is being written by another process; wait for it, or choose another name"));
    }
    // Published or removed between the open and the lock: this one is somebody else's now.
    if (!IsAt(fd, path)) {
      close(fd);
      continue;
    }
    std::unique_ptr<PartialFile> file(new PartialFile(path, fd));
    RemoveJournals(path);
    if (ftruncate(fd, 0) != 0 || fchmod(fd, mode) != 0) {
      return ErrnoStatus(errno, absl::StrCat("cannot make ", path, " empty"));
    }
    return file;
  }
}

PartialFile::~PartialFile() {
  if (!published_) {
    RemoveJournals(path_);
    unlink(path_.c_str());
  }
  close(fd_);
}

absl::Status PartialFile::Publish(const std::string& to, Target target) {
  if (fsync(fd_) != 0) return ErrnoStatus(errno, absl::StrCat("cannot fsync ", path_));
  if (Rename(path_, to, target) != 0) {
    if (errno == EEXIST) {
      return absl::AlreadyExistsError(
          absl::StrCat(to, " exists; move it away or choose another name"));
    }
    return ErrnoStatus(errno, absl::StrCat("cannot rename ", path_, " to ", to));
  }
  published_ = true;
  // Until the folder is synced, a crash may undo the rename.
  return SyncFolderOf(to);
}

}  // namespace loglog
