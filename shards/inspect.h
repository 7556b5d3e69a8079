// What a shard, or a folder of packed shards, holds, and whether it is sound.
#ifndef LOGLOG_SHARDS_INSPECT_H_
#define LOGLOG_SHARDS_INSPECT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "shards/manifest.h"

namespace loglog {

struct InspectOptions {
  bool verify_hashes = true;
  int top = 10;       // how many of the most frequent tokens to list
  int raw_bytes = 2;  // of an id in files without a header: 2 or 4
};

struct ShardFileReport {
  std::string path;
  std::string format;                // "llm.c uint16", "raw uint32", "Megatron int32", ...
  std::optional<int64_t> documents;  // where the format keeps them
  int64_t bytes = 0;
  int64_t tokens = 0;
  uint32_t min_token = 0;
  uint32_t max_token = 0;
  int64_t distinct_tokens = 0;
  double unigram_entropy = 0;                            // nats per token
  std::vector<std::pair<uint32_t, int64_t>> top_tokens;  // (id, count), most frequent first
  std::string sha256;                                    // empty unless verify_hashes
};

struct InspectReport {
  std::optional<ShardManifest> manifest;  // when `path` is a folder that has one
  std::vector<ShardFileReport> files;
  // Each names the file and what is wrong with it. Empty: sound.
  std::vector<std::string> problems;
};

// `path` is one shard (an .idx file of Megatron, one with an llm.c header, else a raw one) or a
// folder. A file that cannot be read is a problem in the report; a path that does not
// exist throws ShardError.
InspectReport Inspect(const std::string& path, const InspectOptions& options = {});

}  // namespace loglog

#endif  // LOGLOG_SHARDS_INSPECT_H_
