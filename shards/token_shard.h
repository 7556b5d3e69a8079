// Files of token ids: llm.c's .bin, raw uint16 and uint32, and Megatron's.
#ifndef LOGLOG_SHARDS_TOKEN_SHARD_H_
#define LOGLOG_SHARDS_TOKEN_SHARD_H_

#include <cstddef>
#include <cstdint>
#include <optional>
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
  kLlmc,      // header of 256 int32 (magic, version, tokens), then uint16 or uint32 ids
  kRawU16,    // uint16 ids and nothing else, as nanoGPT writes them
  kRawU32,    // uint32 ids and nothing else
  kMegatron,  // the path is of the .idx file, see megatron.h; ids follow each other over documents
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
  int token_bytes() const { return token_bytes_; }  // 2 or 4; of Megatron 1 and 8 as well
  int64_t file_bytes() const { return static_cast<int64_t>(map_.size()); }
  // Of Megatron's files; nothing where the format keeps none.
  std::optional<int64_t> documents() const { return documents_; }

  // Copies tokens [begin, begin + count), which must lie in the shard. Throws ShardError
  // naming the file and the token's index when an id is not below `vocab`.
  void Read(int64_t begin, int64_t count, int64_t vocab, int32_t* out) const;

  // Negative or beyond 32 bits only where a Megatron file holds such.
  int64_t At(int64_t index) const;

 private:
  void OpenLlmc();
  void OpenRaw(int token_bytes);
  void OpenMegatron();

  std::string path_;
  FileMap map_;  // of the tokens
  const uint8_t* first_ = nullptr;
  int64_t tokens_ = 0;
  int token_bytes_ = 2;
  bool is_signed_ = false;
  std::optional<int64_t> documents_;
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
