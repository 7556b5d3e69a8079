// Durable files: hashed while they are written, synced before they count, renamed whole.
#ifndef LOGLOG_SHARDS_FILE_WRITER_H_
#define LOGLOG_SHARDS_FILE_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shards/sha256.h"

namespace loglog {

// Writes one new file in order, buffered, and hashes it on the way. Every method throws
// std::runtime_error that names the file, the reason and, when the space ran out, how
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

// Makes renames and creations inside `dir` durable. Throws std::runtime_error.
void SyncDirectory(const std::string& dir);

// Writes `contents` to `path` so that a reader sees the old file or the whole new one,
// also after a crash. Throws std::runtime_error.
void WriteFileAtomically(const std::string& path, std::string_view contents);

// Whole contents of a small file. Throws std::runtime_error.
std::string ReadWholeFile(const std::string& path);

}  // namespace loglog

#endif  // LOGLOG_SHARDS_FILE_WRITER_H_
