// manifest.json beside packed shards: what they hold and their hashes.
#ifndef LOGLOG_SHARDS_MANIFEST_H_
#define LOGLOG_SHARDS_MANIFEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace loglog {

struct ShardFile {
  std::string name;  // inside the manifest's folder
  int64_t tokens = 0;
  int64_t bytes = 0;
  std::string sha256;
};

struct ShardSet {
  int64_t tokens = 0;
  int64_t documents = 0;
  int64_t text_bytes = 0;        // of the text that was packed; 0: the packer did not say
  std::vector<ShardFile> files;  // by name

  // text_bytes, which tokens that are bytes tell without it: all but the one before each document.
  int64_t TextBytes(const std::string& tokenizer) const {
    return text_bytes > 0 || tokenizer != "bytes" ? text_bytes : tokens - documents;
  }
};

struct ShardManifest {
  std::string tokenizer = "bytes";
  int64_t vocab = 256;
  std::string document_rule;  // "files" or "blank-lines"
  double val_share = 0;       // as asked for
  ShardSet train;
  ShardSet val;
  std::string data_sha256;

  int64_t tokens() const { return train.tokens + val.tokens; }
  int64_t documents() const { return train.documents + val.documents; }
};

// The identity of a data set: a hash of the contents of its files in order, and of
// which side of the split each is on. Names and folders do not count.
std::string DataSha256(const std::vector<std::string>& train_file_sha256,
                       const std::vector<std::string>& val_file_sha256);

// JSON, indented, keys sorted, with a newline at the end.
std::string ManifestToJson(const ShardManifest& manifest);

// Throws ShardError naming `path` and the field.
ShardManifest ManifestFromJson(const std::string& json, const std::string& path);

// The manifest of a folder; nothing when it has none. Throws ShardError for a bad one.
std::optional<ShardManifest> FindManifest(const std::string& folder);

// The SHA-256 of a shard: from the manifest beside it when that lists it with the size
// it has, else of its contents.
std::string ShardFileSha256(const std::string& path);

}  // namespace loglog

#endif  // LOGLOG_SHARDS_MANIFEST_H_
