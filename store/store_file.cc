#include "store/store_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace loglog {
namespace {

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

absl::StatusOr<std::string> RealPath(const std::string& path, const std::string& store_path) {
  const std::unique_ptr<char, decltype(&std::free)> found(realpath(path.c_str(), nullptr),
                                                          &std::free);
  if (found != nullptr) return std::string(found.get());
  if (errno == ENOENT || errno == ENOTDIR) {
    return absl::NotFoundError(absl::StrCat("directory ", path, " of store ", store_path,
                                            " does not exist; make it with mkdir -p"));
  }
  return absl::PermissionDeniedError(
      absl::StrCat("directory ", path, " of store ", store_path, ": ", std::strerror(errno),
                   "; check the path and that this user may enter it"));
}

// Where the symbolic link at `path` leads, one step; nothing when it is no link.
std::optional<std::string> LinkTarget(const std::string& path) {
  char target[PATH_MAX];
  const ssize_t size = readlink(path.c_str(), target, sizeof(target));
  if (size < 0 || size == static_cast<ssize_t>(sizeof(target))) return std::nullopt;
  std::string text(target, static_cast<size_t>(size));
  return absl::StartsWith(text, "/") ? text : absl::StrCat(DirectoryOf(path), "/", text);
}

}  // namespace

absl::StatusOr<std::string> CanonicalStorePath(const std::string& path) {
  constexpr int kLinksMax = 40;  // as the kernel's
  std::string at = path;
  for (int links = 0; links < kLinksMax; ++links) {
    const std::optional<std::string> target = LinkTarget(at);
    if (!target.has_value()) {
      LOGLOG_ASSIGN_OR_RETURN(const std::string directory, RealPath(DirectoryOf(at), path));
      return absl::StrCat(directory == "/" ? "" : directory, "/", NameOf(at));
    }
    at = *target;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("store ", path, " is a symbolic link that leads in circles; remove it"));
}

absl::StatusOr<std::unique_ptr<LockFile>> LockStore(const std::string& store_path) {
  auto lock = LockFile::Acquire(store_path + ".lock");
  if (!absl::IsFailedPrecondition(lock.status())) return lock;
  return absl::FailedPreconditionError(absl::StrCat(
      "store ", store_path, " is in use: ", lock.status().message(),
      "; one coordinator writes a store, stop that one first or choose another store"));
}

absl::Status CheckStorePlace(const std::string& store_path, bool create) {
  const std::string directory = DirectoryOf(store_path);
  struct stat info = {};
  if (stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return absl::NotFoundError(absl::StrCat("directory ", directory, " of store ", store_path,
                                            " does not exist; make it with mkdir -p"));
  }
  if (stat(store_path.c_str(), &info) == 0) {
    if (!S_ISREG(info.st_mode)) {
      return absl::FailedPreconditionError(
          absl::StrCat("store ", store_path, " is not a file; give the path of a file"));
    }
    if (access(store_path.c_str(), R_OK | W_OK) != 0) {
      return absl::PermissionDeniedError(absl::StrCat(
          "store ", store_path, ": ", std::strerror(errno), "; give this user write access to it"));
    }
  } else if (!create) {
    return absl::NotFoundError(absl::StrCat("store ", store_path, " does not exist"));
  }
  if (access(directory.c_str(), W_OK | X_OK) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("directory ", directory, " of store ", store_path, ": ", std::strerror(errno),
                     "; SQLite keeps its log beside the store, so give "
                     "this user write access to the directory"));
  }
  return absl::OkStatus();
}

absl::StatusOr<mode_t> FileMode(const std::string& store_path) {
  struct stat info = {};
  if (stat(store_path.c_str(), &info) == 0) return info.st_mode & 0777;
  if (errno == ENOENT) {
    return absl::NotFoundError(absl::StrCat("store ", store_path, " does not exist"));
  }
  return ErrnoStatus(errno, absl::StrCat("cannot look at store ", store_path));
}

absl::Status RefuseForeignFile(const std::string& store_path) {
  const int fd = open(store_path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::OkStatus();
  char head[16] = {};
  const ssize_t size = read(fd, head, sizeof(head));
  close(fd);
  if (size == 0 || (size == sizeof(head) && std::memcmp(head, "SQLite format 3", 16) == 0)) {
    return absl::OkStatus();
  }
  return absl::DataLossError(
      absl::StrCat("store ", store_path,
                   " is not a database, or its first bytes are damaged; check the path, "
                   "or restore a backup"));
}

const char* NetworkFileSystemName(unsigned long magic) {
  switch (magic) {
    case 0x6969:
      return "NFS";
    case 0x517b:
      return "SMB";
    case 0xff534d42:
      return "CIFS";
    case 0xfe534d42:
      return "SMB2";
    case 0x65735546:
      return "FUSE (sshfs and the like)";
    case 0x0bd00bd0:
      return "Lustre";
    case 0x47504653:
      return "GPFS";
    case 0x00c36400:
      return "Ceph";
    case 0x19830326:
      return "BeeGFS";
    case 0x5346414f:
      return "AFS";
    case 0x6b414653:
      return "kAFS";
    case 0x73757245:
      return "Coda";
    case 0x01021997:
      return "9P";
    case 0x7461636f:
      return "OCFS2";
    case 0x01161970:
      return "GFS2";
    case 0xaad7aaea:
      return "PanFS";
    default:
      return nullptr;
  }
}

absl::Status RefuseNetworkFileSystem(const std::string& store_path) {
  const std::string directory = DirectoryOf(store_path);
  struct statfs info = {};
  if (statfs(directory.c_str(), &info) != 0) {
    return absl::InternalError(absl::StrCat("statfs ", directory, ": ", std::strerror(errno)));
  }
  const char* name = NetworkFileSystemName(static_cast<unsigned int>(info.f_type));
  if (name == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "store ", store_path, " is on ", name,
      ", a network file system: SQLite's locks and write-ahead log are not safe there; put the "
      "store on a local disk of the coordinator's host and read it through the coordinator"));
}

}  // namespace loglog
