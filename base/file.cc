#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/io_guard.h"
#include "base/status.h"
#include "base/unique_id.h"

namespace loglog {
namespace {

// A process that is killed while it starts a child leaves its descriptors, locks
// included, to the child until that has become another program.
constexpr std::chrono::seconds kLockOfTheDeadLasts(5);

bool IsDead(const std::string& pid) {
  pid_t number = 0;
  return absl::SimpleAtoi(pid, &number) && number > 0 && kill(number, 0) != 0 && errno == ESRCH;
}

std::string Folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

absl::Status WriteAll(int fd, absl::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, absl::StrCat("cannot write ", path));
    bytes.remove_prefix(written);
  }
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot open folder ", folder));
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  if (result != 0) return ErrnoStatus(error, absl::StrCat("cannot fsync folder ", folder));
  return absl::OkStatus();
}

enum class Durable { kNo, kYes };

absl::Status WriteNew(const std::string& path, absl::string_view bytes, mode_t mode,
                      Durable durable) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot create ", path));
  absl::Status status = WriteAll(fd, bytes, path);
  if (status.ok() && durable == Durable::kYes && fsync(fd) != 0)
    status = ErrnoStatus(errno, absl::StrCat("cannot fsync ", path));
  // Some file systems report a full disk only here.
  if (close(fd) != 0 && status.ok())
    status = ErrnoStatus(errno, absl::StrCat("cannot close ", path));
  return status;
}

absl::Status Replace(const std::string& path, absl::string_view bytes, mode_t mode,
                     Durable durable) {
  CheckIoAllowed("writing a file");
  const std::string temporary = absl::StrCat(path, ".tmp-", RandomHexId(6));
  absl::Status status = WriteNew(temporary, bytes, mode, durable);
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("cannot rename ", temporary, " to ", path));
  }
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what) {
  return absl::ErrnoToStatus(error, what);
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  CheckIoAllowed("reading a file");
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  absl::Cleanup closer = [fd] { close(fd); };
  std::string bytes;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, absl::StrCat("cannot read ", path));
    if (got == 0) return bytes;
    bytes.append(buffer, got);
  }
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes, mode_t mode) {
  const absl::Status status = Replace(path, bytes, mode, Durable::kYes);
  return status.ok() ? SyncFolder(Folder(path)) : status;
}

absl::Status ReplaceFile(const std::string& path, absl::string_view bytes, mode_t mode) {
  return Replace(path, bytes, mode, Durable::kNo);
}

absl::Status MakeDirs(const std::string& path, mode_t mode) {
  if (path.empty()) return absl::InvalidArgumentError("cannot make a folder without a name");
  std::string so_far;
  for (const auto& part : std::filesystem::path(path)) {
    so_far = (std::filesystem::path(so_far) / part).string();
    if (so_far.empty() || mkdir(so_far.c_str(), mode) == 0) continue;
    // mkdir may say EACCES or EROFS of a folder that is there.
    const int error = errno;
    struct stat info;
    if (stat(so_far.c_str(), &info) == 0) {
      if (S_ISDIR(info.st_mode)) continue;
      return absl::FailedPreconditionError(absl::StrCat(so_far, " is not a folder"));
    }
    return ErrnoStatus(error, absl::StrCat("cannot make folder ", so_far));
  }
  return absl::OkStatus();
}

absl::Status RemoveTree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("cannot remove ", path));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ListDir(const std::string& path) {
  DIR* dir = opendir(path.c_str());
  if (dir == nullptr) return ErrnoStatus(errno, absl::StrCat("cannot list ", path));
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir)) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
      names.emplace_back(entry->d_name);
    }
  }
  closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

bool PathExists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

bool IsFolder(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::string AbsolutePath(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error) return path;
  const std::string normal = absolute.lexically_normal().string();
  return normal.size() > 1 ? std::string(absl::StripSuffix(normal, "/")) : normal;
}

absl::StatusOr<int64_t> FreeDiskBytes(const std::string& path) {
  struct statvfs info;
  if (statvfs(path.c_str(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot see the free space of ", path));
  }
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

absl::StatusOr<std::unique_ptr<LockFile>> LockFile::Acquire(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot open lock file ", path));
  const auto give_up_at = std::chrono::steady_clock::now() + kLockOfTheDeadLasts;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    const absl::StatusOr<std::string> owner = ReadFile(path);
    const std::string pid = owner.ok() ? std::string(absl::StripSuffix(*owner, "\n")) : "";
    if (error == EWOULDBLOCK && IsDead(pid) && std::chrono::steady_clock::now() < give_up_at) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      continue;
    }
    close(fd);
    if (error != EWOULDBLOCK) return ErrnoStatus(error, absl::StrCat("cannot lock ", path));
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is locked by ", pid.empty() ? "another process" : "process " + pid));
  }
  // For messages only: the lock is held on a full disk, too.
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) == 0) (void)!pwrite(fd, pid.data(), pid.size(), 0);
  return std::unique_ptr<LockFile>(new LockFile(fd));
}

LockFile::~LockFile() { close(fd_); }

}  // namespace loglog
