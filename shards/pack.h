// Text files to training and validation shards of bytes.
#ifndef LOGLOG_SHARDS_PACK_H_
#define LOGLOG_SHARDS_PACK_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "shards/manifest.h"

namespace loglog {

// What counts as one document. Documents are never cut by the split into training and
// validation text.
enum class DocumentRule {
  kFiles,       // each input file
  kBlankLines,  // each stretch of text between blank lines
};

struct PackOptions {
  std::vector<std::string> inputs;
  std::string output;  // folder; must not exist, be empty, or hold shards and `overwrite`
  double val_share = 0.05;
  DocumentRule documents = DocumentRule::kFiles;
  bool overwrite = false;
  int64_t shard_tokens = 100'000'000;  // at most this many tokens a file
  // Called now and then with the bytes done and the bytes there are, over both passes.
  std::function<void(int64_t done, int64_t total)> progress;
};

// Tokens are the bytes of the text; each document is preceded by token 0, so the
// vocabulary stays 256 and input that contains a NUL byte is refused.
//
// A document goes to the validation set when the hash of its text is below a cut, and
// the cut is the lowest that gives validation its share of the bytes. So the split
// depends on the texts alone, not on their order or names, and equal documents are
// always on the same side.
//
// Writes llm.c shards train-00000.bin, ..., val-00000.bin, ... and manifest.json in a
// folder beside `output` that is renamed once it is whole and on disk: the output is
// there complete or not at all. Throws ShardError or std::runtime_error.
ShardManifest Pack(const PackOptions& options);

}  // namespace loglog

#endif  // LOGLOG_SHARDS_PACK_H_
