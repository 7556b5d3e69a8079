// Files of token ids: llm.c's .bin and raw uint16.
#ifndef LOGLOG_SHARDS_TOKEN_SHARD_H_
#define LOGLOG_SHARDS_TOKEN_SHARD_H_

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace loglog {

// Data that cannot be used as it is. The message names the file, the place and the fix.
class ShardError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class ShardFormat {
  kLlmc,    // header of 256 int32 (magic, version, tokens), then uint16 or uint32 ids
  kRawU16,  // uint16 ids and nothing else, as nanoGPT writes them
};

// The data may be fine and this host does not have it: a file that is missing, cannot be
// read or was copied in part. Another host may well have it.
class DataUnavailable : public ShardError {
 public:
  using ShardError::ShardError;
};

// A read-only memory map of a whole file. Throws DataUnavailable.
class FileMap {
 public:
  explicit FileMap(const std::string& path);
  ~FileMap();
  FileMap(FileMap&& other) noexcept;
  FileMap& operator=(FileMap&&) = delete;

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// One mapped shard. Immutable after construction; thread-safe.
class TokenShard {
 public:
  // Checks the header and that the file is exactly as long as the header says. Throws
  // ShardError, DataUnavailable when the file is cut short.
  TokenShard(const std::string& path, ShardFormat format);

  const std::string& path() const { return path_; }
  int64_t tokens() const { return tokens_; }
  int token_bytes() const { return token_bytes_; }  // 2 or 4
  int64_t file_bytes() const { return static_cast<int64_t>(map_.size()); }

  // Copies tokens [begin, begin + count), which must lie in the shard. Throws ShardError
  // naming the file and the token's index when an id is not below `vocab`.
  void Read(int64_t begin, int64_t count, int64_t vocab, int32_t* out) const;

  uint32_t At(int64_t index) const;

 private:
  std::string path_;
  FileMap map_;
  const uint8_t* first_ = nullptr;
  int64_t tokens_ = 0;
  int token_bytes_ = 2;
};

constexpr int32_t kLlmcMagicU16 = 20240520;
constexpr int32_t kLlmcMagicU32 = 20240801;
constexpr int32_t kLlmcMagicEval = 20240522;
constexpr int64_t kLlmcHeaderBytes = 1024;

// The 1024 bytes that open an llm.c file of `tokens` ids of `token_bytes` (2 or 4) bytes.
std::vector<uint8_t> LlmcHeader(int64_t tokens, int token_bytes);

// Writes an llm.c shard of uint16 (every id below 65536) or else uint32. Not atomic: the
// caller renames. Throws ShardError.
void WriteLlmc(const std::string& path, const std::vector<uint32_t>& tokens);

}  // namespace loglog

#endif  // LOGLOG_SHARDS_TOKEN_SHARD_H_
