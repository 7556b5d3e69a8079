// Durable files: hashed while they are written, synced before they count, renamed whole.
#ifndef LOGLOG_SHARDS_FILE_WRITER_H_
#define LOGLOG_SHARDS_FILE_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "shards/sha256.h"

namespace loglog {

// A file or folder that the operating system would not read or write.
class FileError : public std::runtime_error {
 public:
  FileError(const std::string& what, int error) : std::runtime_error(what), error_(error) {}
  int error() const { return error_; }  // as in errno

 private:
  int error_;
};

// True for an errno that says that storage is full, broken or gone: a fact about the host,
// which a program that tries again elsewhere does not meet.
bool IsStorageFailure(int error);

// Writes one new file in order, buffered, and hashes it on the way. Every method throws
// FileError that names the file, the reason and, when the space ran out, how
// many bytes were wanted. Confined to one thread.
class FileWriter {
 public:
  // Creates the file or empties it. `expected_bytes` is only for the message when the
  // disk is full.
  explicit FileWriter(const std::string& path, int64_t expected_bytes = 0);
  ~FileWriter();  // closes; what is buffered and not synced may be lost
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void Append(const void* data, size_t size);
  void Append(std::string_view bytes) { Append(bytes.data(), bytes.size()); }
  // Flushes, syncs to the device and closes.
  void Close();

  int64_t bytes() const { return bytes_; }
  std::string HexSha256() const { return hash_.HexDigest(); }

 private:
  void Flush();
  void WriteOut(const char* data, size_t size);
  [[noreturn]] void Fail(const char* verb, int error) const;

  std::string path_;
  int64_t expected_bytes_;
  int fd_ = -1;
  int64_t bytes_ = 0;
  std::vector<char> buffer_;
  Sha256 hash_;
};

// Makes renames and creations inside `dir` durable. Throws FileError.
void SyncDirectory(const std::string& dir);

// Makes `dir` and the folders above it that are missing, so that they outlive a crash of the
// machine. Throws FileError.
void MakeDirectories(const std::string& dir);

// Writes `contents` to `path` so that a reader sees the old file or the whole new one,
// also after a crash. Throws FileError.
void WriteFileAtomically(const std::string& path, std::string_view contents);

// Whole contents of a file. Throws FileError.
std::string ReadWholeFile(const std::string& path);

}  // namespace loglog

#endif  // LOGLOG_SHARDS_FILE_WRITER_H_
