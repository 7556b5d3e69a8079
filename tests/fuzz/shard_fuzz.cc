// A file as a token shard: two bytes of choices, then the file. It is refused by a
// ShardError, or every token of it can be read.
#include <vector>

#include "base/check.h"
#include "shards/inspect.h"
#include "shards/token_shard.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loglog;
  FuzzInput input(data, size);
  constexpr ShardFormat kFormats[] = {ShardFormat::kLlmc, ShardFormat::kRawU16,
                                      ShardFormat::kRawU32};
  const ShardFormat format = kFormats[input.Small(2)];
  const int64_t vocab = int64_t{1} << (input.Byte() % 40);
  const MemoryFile file(input.Rest());
  try {
    const TokenShard shard(file.path(), format);
    LOGLOG_CHECK(shard.tokens() >= 1);
    std::vector<int32_t> tokens(shard.tokens());
    try {
      shard.Read(0, shard.tokens(), vocab, tokens.data());
      for (const int32_t token : tokens) LOGLOG_CHECK(token >= 0 && token < vocab);
    } catch (const ShardError&) {  // a token outside of the vocabulary
    }
    try {
      shard.Read(shard.tokens() - 1, 2, vocab, tokens.data());
      LOGLOG_CHECK(false);
    } catch (const ShardError&) {
    }
  } catch (const ShardError&) {
  }
  try {
    (void)Inspect(file.path());
  } catch (const ShardError&) {
  }
  return 0;
}
