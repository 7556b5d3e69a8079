#include "shards/token_shard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "shards/file_writer.h"
#include "shards/megatron.h"

namespace loglog {
namespace {

// The formats are little endian, and so is every machine this is built for.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

int32_t HeaderField(const uint8_t* data, int index) {
  int32_t value;
  std::memcpy(&value, data + 4 * index, 4);
  return value;
}

template <typename Id>
int64_t CopyBelow(const uint8_t* from, int64_t count, int64_t vocab, int32_t* out) {
  for (int64_t i = 0; i < count; ++i) {
    Id id;
    std::memcpy(&id, from + i * sizeof(Id), sizeof(Id));
    // uint64_t is of no format, so nothing wraps.
    if (static_cast<int64_t>(id) >= vocab || static_cast<int64_t>(id) < 0) return i;
    out[i] = static_cast<int32_t>(id);
  }
  return count;
}

// Calls `body` with a number of the type of the ids.
template <typename Body>
int64_t WithIdType(int bytes, bool is_signed, Body body) {
  switch (bytes) {
    case 1:
      return is_signed ? body(int8_t{}) : body(uint8_t{});
    case 2:
      return is_signed ? body(int16_t{}) : body(uint16_t{});
    case 4:
      return is_signed ? body(int32_t{}) : body(uint32_t{});
    default:
      return body(int64_t{});
  }
}

}  // namespace

FileMap::FileMap(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (fd < 0 || fstat(fd, &info) != 0) {
    const std::string reason = std::strerror(errno);
    if (fd >= 0) close(fd);
    throw DataUnavailable(path + ": cannot be opened: " + reason);
  }
  if (!S_ISREG(info.st_mode)) {
    close(fd);
    throw ShardError(path + ": is not a regular file");
  }
  size_ = static_cast<size_t>(info.st_size);
  if (size_ > 0) {
    void* map = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    const int error = errno;
    close(fd);
    if (map == MAP_FAILED) {
      throw DataUnavailable(path + ": cannot be mapped into memory: " + std::strerror(error));
    }
    data_ = static_cast<const uint8_t*>(map);
  } else {
    close(fd);
  }
}

FileMap::FileMap(FileMap&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

FileMap::~FileMap() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

TokenShard::TokenShard(const std::string& path, ShardFormat format)
    : path_(path), map_(format == ShardFormat::kMegatron ? MegatronBinPath(path) : path) {
  if (map_.size() == 0) {
    throw DataUnavailable(path + ": is empty; write it again with 'loglog data pack'");
  }
  switch (format) {
    case ShardFormat::kLlmc:
      OpenLlmc();
      break;
    case ShardFormat::kRawU16:
      OpenRaw(2);
      break;
    case ShardFormat::kRawU32:
      OpenRaw(4);
      break;
    case ShardFormat::kMegatron:
      OpenMegatron();
      break;
  }
}

void TokenShard::OpenRaw(int token_bytes) {
  const int64_t size = file_bytes();
  if (size % token_bytes != 0) {
    throw ShardError(path_ + ": has " + std::to_string(size) + " bytes, " +
                     (token_bytes == 2 ? "an odd number" : "no multiple of 4") +
                     ", so it cannot hold uint" + std::to_string(8 * token_bytes) +
                     " tokens; it is cut short or of another format");
  }
  if (size >= kLlmcHeaderBytes && (HeaderField(map_.data(), 0) == kLlmcMagicU16 ||
                                   HeaderField(map_.data(), 0) == kLlmcMagicU32)) {
    throw ShardError(path_ + ": begins with an llm.c header; set its format to llmc, not u" +
                     std::to_string(8 * token_bytes));
  }
  first_ = map_.data();
  token_bytes_ = token_bytes;
  tokens_ = size / token_bytes;
}

void TokenShard::OpenMegatron() {
  const FileMap index_map(path_);
  const MegatronIndex index =
      ReadMegatronIndex(index_map.data(), index_map.size(), path_, file_bytes());
  first_ = map_.data();
  token_bytes_ = index.token_bytes;
  is_signed_ = index.is_signed;
  tokens_ = index.tokens;
  documents_ = static_cast<int64_t>(index.document_begins.size()) - 1;
}

void TokenShard::OpenLlmc() {
  const std::string& path = path_;
  const int64_t size = file_bytes();
  if (size < kLlmcHeaderBytes) {
    throw ShardError(path + ": has " + std::to_string(size) +
                     " bytes, less than the 1024 of an llm.c header; it is cut short or of another "
                     "format (format u16 is for files without a header)");
  }
  const int32_t magic = HeaderField(map_.data(), 0);
  const int32_t version = HeaderField(map_.data(), 1);
  if (magic == kLlmcMagicEval) {
    throw ShardError(path + ": is an llm.c evaluation file (magic 20240522), not a token shard");
  }
  if (magic != kLlmcMagicU16 && magic != kLlmcMagicU32) {
    throw ShardError(path + ": does not begin with llm.c's magic number (found " +
                     std::to_string(magic) +
                     ", expected 20240520 or 20240801); is its format u16?");
  }
  const int32_t expected_version = magic == kLlmcMagicU16 ? 1 : 7;
  if (version != expected_version) {
    throw ShardError(path + ": has llm.c version " + std::to_string(version) + " under magic " +
                     std::to_string(magic) + ", where version " + std::to_string(expected_version) +
                     " is the one known");
  }
  token_bytes_ = magic == kLlmcMagicU16 ? 2 : 4;
  tokens_ = HeaderField(map_.data(), 2);
  first_ = map_.data() + kLlmcHeaderBytes;
  if (tokens_ < 1) {
    throw ShardError(path + ": its header says " + std::to_string(tokens_) + " tokens");
  }
  const int64_t expected = kLlmcHeaderBytes + tokens_ * token_bytes_;
  const std::string sizes = path + ": has " + std::to_string(size) + " bytes where its header of " +
                            std::to_string(tokens_) + " tokens asks for " +
                            std::to_string(expected);
  if (size < expected) throw DataUnavailable(sizes + "; it is cut short, copy or pack it again");
  if (size > expected) {
    throw ShardError(sizes + "; something was appended to it, copy or pack it again");
  }
}

void TokenShard::Read(int64_t begin, int64_t count, int64_t vocab, int32_t* out) const {
  if (begin < 0 || count < 0 || count > tokens_ - begin) {
    throw ShardError(path_ + ": tokens " + std::to_string(begin) + " to " +
                     std::to_string(begin + count) + " were asked for and it has " +
                     std::to_string(tokens_));
  }
  // Ids are handed on as int32.
  vocab = std::min<int64_t>(vocab, std::numeric_limits<int32_t>::max());
  const uint8_t* from = first_ + begin * token_bytes_;
  const int64_t good = WithIdType(token_bytes_, is_signed_, [&](auto id) {
    return CopyBelow<decltype(id)>(from, count, vocab, out);
  });
  if (good < count) {
    throw ShardError(path_ + ": token " + std::to_string(begin + good) + " (byte " +
                     std::to_string(first_ - map_.data() + (begin + good) * token_bytes_) +
                     ") is id " + std::to_string(At(begin + good)) +
                     ", outside the vocabulary of " + std::to_string(vocab) +
                     "; raise model.vocab or check that this file belongs to this tokenizer");
  }
}

int64_t TokenShard::At(int64_t index) const {
  return WithIdType(token_bytes_, is_signed_, [&](auto id) {
    std::memcpy(&id, first_ + index * token_bytes_, sizeof id);
    return static_cast<int64_t>(id);
  });
}

std::vector<uint8_t> LlmcHeader(int64_t tokens, int token_bytes) {
  if (tokens > std::numeric_limits<int32_t>::max()) {
    throw ShardError("an llm.c shard holds at most 2147483647 tokens, and " +
                     std::to_string(tokens) + " were given; use smaller shards");
  }
  std::vector<uint8_t> header(kLlmcHeaderBytes, 0);
  const int32_t fields[3] = {token_bytes == 2 ? kLlmcMagicU16 : kLlmcMagicU32,
                             token_bytes == 2 ? 1 : 7, static_cast<int32_t>(tokens)};
  std::memcpy(header.data(), fields, sizeof fields);
  return header;
}

void WriteLlmc(const std::string& path, const std::vector<uint32_t>& tokens) {
  uint32_t largest = 0;
  for (uint32_t id : tokens) largest = std::max(largest, id);
  const int token_bytes = largest < 65536 ? 2 : 4;
  const std::vector<uint8_t> header = LlmcHeader(static_cast<int64_t>(tokens.size()), token_bytes);
  FileWriter file(path);
  file.Append(header.data(), header.size());
  for (uint32_t id : tokens) file.Append(&id, token_bytes);
  file.Close();
}

}  // namespace loglog
