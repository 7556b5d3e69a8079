#include "shards/file_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace loglog {
namespace {

constexpr size_t kBufferBytes = 1 << 20;

[[noreturn]] void Throw(const std::string& path, const std::string& what, int error) {
  throw FileError(path + ": " + what + ": " + std::strerror(error), error);
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

bool IsStorageFailure(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EIO:
    case EROFS:
    case ESTALE:
      return true;
    default:
      return false;
  }
}

FileWriter::FileWriter(const std::string& path, int64_t expected_bytes)
    : path_(path), expected_bytes_(expected_bytes) {
  fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) Fail("cannot be created", errno);
  buffer_.reserve(kBufferBytes);
}

FileWriter::~FileWriter() {
  if (fd_ >= 0) close(fd_);
}

void FileWriter::Append(const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  hash_.Update(bytes, size);
  bytes_ += static_cast<int64_t>(size);
  if (buffer_.size() + size > kBufferBytes) Flush();
  if (size >= kBufferBytes) {
    WriteOut(bytes, size);
  } else {
    buffer_.insert(buffer_.end(), bytes, bytes + size);
  }
}

void FileWriter::Flush() {
  WriteOut(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void FileWriter::WriteOut(const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = write(fd_, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) Fail("cannot be written", errno);
    data += n;
    size -= static_cast<size_t>(n);
  }
}

void FileWriter::Close() {
  Flush();
  // A full disk or a broken one may say so only here.
  if (fsync(fd_) != 0) Fail("cannot be synced to disk", errno);
  const int fd = fd_;
  fd_ = -1;
  if (close(fd) != 0) Fail("cannot be closed", errno);
}

void FileWriter::Fail(const char* verb, int error) const {
  std::string message = path_ + ": " + verb + ": " + std::strerror(error);
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    message += "; it needs " + std::to_string(std::max(expected_bytes_, bytes_)) +
               " bytes: free space there or choose another folder";
  }
  throw FileError(message, error);
}

void SyncDirectory(const std::string& dir) {
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) Throw(dir, "folder cannot be opened", errno);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  // Some file systems cannot sync a folder and say EINVAL; their renames are as durable
  // as they get.
  if (result != 0 && error != EINVAL) Throw(dir, "folder cannot be synced to disk", error);
}

void MakeDirectories(const std::string& dir) {
  struct stat info {};
  if (stat(dir.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return;
  const std::string parent = ParentOf(dir);
  MakeDirectories(parent);
  // A folder that was a moment too late is as good as ours.
  if (mkdir(dir.c_str(), 0777) != 0 && errno != EEXIST) Throw(dir, "cannot be made", errno);
  SyncDirectory(parent);
}

void WriteFileAtomically(const std::string& path, std::string_view contents) {
  const std::string temporary = path + ".tmp-" + std::to_string(getpid());
  try {
    FileWriter file(temporary, static_cast<int64_t>(contents.size()));
    file.Append(contents);
    file.Close();
    if (rename(temporary.c_str(), path.c_str()) != 0) {
      Throw(path, "cannot be put in place", errno);
    }
  } catch (...) {
    unlink(temporary.c_str());
    throw;
  }
  SyncDirectory(ParentOf(path));
}

std::string ReadWholeFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) Throw(path, "cannot be opened", errno);
  std::string contents;
  // A checkpoint that grew by doubling would take twice its size.
  struct stat info {};
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) {
    contents.reserve(static_cast<size_t>(info.st_size));
  }
  char buffer[65536];
  while (true) {
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n == 0) break;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      close(fd);
      Throw(path, "cannot be read", error);
    }
    contents.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  return contents;
}

}  // namespace loglog
