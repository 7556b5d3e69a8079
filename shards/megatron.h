// The index of a Megatron data set: <name>.idx, beside which <name>.bin holds the tokens.
#ifndef LOGLOG_SHARDS_MEGATRON_H_
#define LOGLOG_SHARDS_MEGATRON_H_

#include <cstdint>
#include <string>
#include <vector>

namespace loglog {

struct MegatronIndex {
  int token_bytes = 0;  // 1, 2, 4 or 8
  bool is_signed = false;
  int64_t tokens = 0;
  // Where each document begins, in tokens, the first at 0, and the end after the last.
  std::vector<int64_t> document_begins;
};

// Of the bytes of an .idx file at `path`: "MMIDIDX\0\0", u64 version 1, u8 type of the tokens (1
// u8, 2 i8, 3 i16, 4 i32, 5 i64, 8 u16), u64 sequences, u64 document indices, then i32 lengths of
// the sequences, their i64 offsets in bytes and the i64 numbers of the sequences that begin
// documents. The tokens must lie one after another without gaps, as Megatron's builder writes them,
// and fill `bin_bytes`. Throws ShardError naming the file and what is wrong.
MegatronIndex ReadMegatronIndex(const uint8_t* bytes, size_t size, const std::string& path,
                                int64_t bin_bytes);

// a/b.idx -> a/b.bin. Throws ShardError for a name that does not end in .idx.
std::string MegatronBinPath(const std::string& idx_path);

}  // namespace loglog

#endif  // LOGLOG_SHARDS_MEGATRON_H_
