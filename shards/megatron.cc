#include "shards/megatron.h"

#include <cstring>

#include "shards/token_shard.h"

namespace loglog {
namespace {

constexpr char kMagic[] = "MMIDIDX\0";  // with the closing 0 of the literal: nine bytes
constexpr size_t kMagicBytes = 9;
constexpr size_t kHeaderBytes = kMagicBytes + 8 + 1 + 8 + 8;

struct TokenType {
  uint8_t code;
  int bytes;
  bool is_signed;
};
constexpr TokenType kTypes[] = {{1, 1, false}, {2, 1, true}, {3, 2, true},
                                {4, 4, true},  {5, 8, true}, {8, 2, false}};

template <typename Number>
Number At(const uint8_t* bytes, uint64_t index = 0) {
  Number value;
  std::memcpy(&value, bytes + index * sizeof(Number), sizeof(Number));
  return value;
}

const TokenType& TypeOf(uint8_t code, const std::string& path) {
  for (const TokenType& type : kTypes) {
    if (type.code == code) return type;
  }
  throw ShardError(path + ": its tokens are of type " + std::to_string(code) +
                   ", and token ids are integers: 1 u8, 2 i8, 3 i16, 4 i32, 5 i64 or 8 u16");
}

}  // namespace

MegatronIndex ReadMegatronIndex(const uint8_t* bytes, size_t size, const std::string& path,
                                int64_t bin_bytes) {
  if (size < kHeaderBytes || std::memcmp(bytes, kMagic, kMagicBytes) != 0) {
    throw ShardError(path + ": does not begin with MMIDIDX, the mark of Megatron's index files");
  }
  const uint8_t* header = bytes + kMagicBytes;
  if (const auto version = At<uint64_t>(header); version != 1) {
    throw ShardError(path + ": is of index version " + std::to_string(version) +
                     ", and 1 is the one known");
  }
  const TokenType& type = TypeOf(header[8], path);
  const auto sequences = At<uint64_t>(header + 9), documents = At<uint64_t>(header + 17);
  // Each takes at least eight bytes, which also keeps the sum below from overflowing.
  if (sequences > size / 8 || documents > size / 8 ||
      size != kHeaderBytes + sequences * 12 + documents * 8) {
    throw ShardError(path + ": has " + std::to_string(size) + " bytes, and its " +
                     std::to_string(sequences) + " sequences and " + std::to_string(documents) +
                     " document indices ask for another number; it is cut short or damaged, copy "
                     "it again");
  }
  const uint8_t* lengths = bytes + kHeaderBytes;
  const uint8_t* offsets = lengths + sequences * 4;
  const uint8_t* indices = offsets + sequences * 8;
  MegatronIndex index{.token_bytes = type.bytes, .is_signed = type.is_signed};
  uint64_t document = 0;
  for (uint64_t i = 0; i < sequences; ++i) {
    // Only where it is needed: there may be 1e8 of them.
    const auto place = [&] { return path + ": sequence " + std::to_string(i); };
    const auto length = At<int32_t>(lengths, i);
    if (length < 0) throw ShardError(place() + " has the length " + std::to_string(length));
    if (At<int64_t>(offsets, i) != index.tokens * type.bytes) {
      throw ShardError(place() + " begins at byte " + std::to_string(At<int64_t>(offsets, i)) +
                       " of the .bin file, and the one before ends at byte " +
                       std::to_string(index.tokens * type.bytes) +
                       "; sequences with gaps between them are not read, merge the data set again");
    }
    // Documents may be empty.
    for (; document < documents && At<int64_t>(indices, document) == static_cast<int64_t>(i);
         ++document) {
      index.document_begins.push_back(index.tokens);
    }
    index.tokens += length;
  }
  // The last index, and those of empty documents at the end, are the number of sequences; all
  // others were met above when they are in order.
  const bool begins_at_0 = documents > 0 && At<int64_t>(indices) == 0;
  const uint64_t met = document;
  for (; document < documents && At<int64_t>(indices, document) == static_cast<int64_t>(sequences);
       ++document) {
    index.document_begins.push_back(index.tokens);
  }
  const bool in_order = begins_at_0 && document == documents && document > met;
  if (!in_order) {
    throw ShardError(path + ": its document indices do not run from 0 to the " +
                     std::to_string(sequences) + " sequences in order; it is damaged");
  }
  if (index.tokens * type.bytes != bin_bytes) {
    const std::string sizes = MegatronBinPath(path) + ": has " + std::to_string(bin_bytes) +
                              " bytes where its index asks for " +
                              std::to_string(index.tokens * type.bytes);
    if (bin_bytes < index.tokens * type.bytes) {
      throw DataUnavailable(sizes + "; it is cut short, copy it again");
    }
    throw ShardError(sizes + "; the two files are not of one data set");
  }
  return index;
}

std::string MegatronBinPath(const std::string& idx_path) {
  constexpr char kIdx[] = ".idx";
  constexpr size_t kLength = 4;
  if (idx_path.size() <= kLength ||
      idx_path.compare(idx_path.size() - kLength, kLength, kIdx) != 0) {
    throw ShardError(idx_path +
                     ": format megatron reads .idx files, with their .bin beside them; "
                     "name those in glob");
  }
  return idx_path.substr(0, idx_path.size() - kLength) + ".bin";
}

}  // namespace loglog
