// SHA-256 (FIPS 180-4). The one content hash of Loglog: checkpoint and shard
// manifests, cell and trial identities.
#ifndef LOGLOG_SHARDS_SHA256_H_
#define LOGLOG_SHARDS_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace loglog {

// Incremental hash. Confined to one thread. HexDigest may be called at any time and
// any number of times: it works on a copy of the state.
class Sha256 {
 public:
  Sha256();
  void Update(const void* data, size_t size);
  void Update(std::string_view bytes) { Update(bytes.data(), bytes.size()); }
  // 64 lower-case hexadecimal digits of everything given to Update so far.
  std::string HexDigest() const;
  // The first eight bytes of the digest as a big-endian number.
  uint64_t Prefix64() const;

 private:
  std::array<uint32_t, 8> Finish() const;

  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> block_;
  size_t block_used_ = 0;
  uint64_t total_bytes_ = 0;
};

std::string Sha256Hex(std::string_view bytes);

// Hash of a whole file, read in pieces. Throws std::runtime_error that names the
// file when it cannot be opened or read.
std::string Sha256HexOfFile(const std::string& path);

}  // namespace loglog

#endif  // LOGLOG_SHARDS_SHA256_H_
