#include "shards/manifest.h"

#include <sys/stat.h>

#include "nlohmann/json.hpp"
#include "shards/file_writer.h"
#include "shards/json_integer.h"
#include "shards/sha256.h"
#include "shards/token_shard.h"

namespace loglog {
namespace {

using nlohmann::json;

constexpr char kFormat[] = "loglog-shards";
constexpr int kVersion = 1;
constexpr int kDepthMax = 16;  // showing a value takes a stack frame for each level

json SetToJson(const ShardSet& set) {
  json files = json::array();
  for (const ShardFile& file : set.files) {
    files.push_back({{"name", file.name},
                     {"tokens", file.tokens},
                     {"bytes", file.bytes},
                     {"sha256", file.sha256}});
  }
  json object = {{"tokens", set.tokens}, {"documents", set.documents}, {"files", files}};
  if (set.text_bytes > 0) object["text_bytes"] = set.text_bytes;
  return object;
}

int64_t CountAt(const json& object, const char* key) {
  const int64_t count = IntegerAt(object, key);
  if (count < 0) throw std::runtime_error(std::string(key) + " is negative");
  return count;
}

ShardSet SetFromJson(const json& object) {
  ShardSet set;
  set.tokens = CountAt(object, "tokens");
  set.documents = CountAt(object, "documents");
  if (object.contains("text_bytes")) set.text_bytes = CountAt(object, "text_bytes");
  for (const json& entry : object.at("files")) {
    ShardFile file{entry.at("name").get<std::string>(), CountAt(entry, "tokens"),
                   CountAt(entry, "bytes"), entry.at("sha256").get<std::string>()};
    if (file.name.empty() || file.name == "." || file.name == ".." ||
        file.name.find('/') != std::string::npos) {
      throw std::runtime_error("file name '" + file.name + "' must be a plain name");
    }
    set.files.push_back(std::move(file));
  }
  return set;
}

}  // namespace

std::string DataSha256(const std::vector<std::string>& train_file_sha256,
                       const std::vector<std::string>& val_file_sha256) {
  Sha256 hash;
  for (const std::string& sha256 : train_file_sha256) hash.Update("train " + sha256 + "\n");
  for (const std::string& sha256 : val_file_sha256) hash.Update("val " + sha256 + "\n");
  return hash.HexDigest();
}

std::string ManifestToJson(const ShardManifest& manifest) {
  const json object = {
      {"format", kFormat},
      {"version", kVersion},
      {"tokenizer", manifest.tokenizer},
      {"vocab", manifest.vocab},
      {"tokens", manifest.tokens()},
      {"documents", manifest.documents()},
      {"document_rule", manifest.document_rule},
      {"val_share", manifest.val_share},
      {"data_sha256", manifest.data_sha256},
      {"sets", {{"train", SetToJson(manifest.train)}, {"val", SetToJson(manifest.val)}}}};
  return object.dump(2) + "\n";
}

ShardManifest ManifestFromJson(const std::string& text, const std::string& path) {
  try {
    const json object = json::parse(text, [](int depth, json::parse_event_t, json&) {
      if (depth > kDepthMax) throw std::runtime_error("it is nested too deeply");
      return true;
    });
    if (object.at("format") != kFormat) {
      throw std::runtime_error("its format is not " + std::string(kFormat));
    }
    if (object.at("version") != kVersion) {
      throw std::runtime_error("version " + object.at("version").dump() + " is not known, only " +
                               std::to_string(kVersion));
    }
    ShardManifest manifest;
    manifest.tokenizer = object.at("tokenizer").get<std::string>();
    manifest.vocab = CountAt(object, "vocab");
    manifest.document_rule = object.at("document_rule").get<std::string>();
    manifest.val_share = object.at("val_share").get<double>();
    manifest.data_sha256 = object.at("data_sha256").get<std::string>();
    manifest.train = SetFromJson(object.at("sets").at("train"));
    manifest.val = SetFromJson(object.at("sets").at("val"));
    return manifest;
  } catch (const std::exception& error) {
    throw ShardError(path + ": is not a usable manifest (" + error.what() +
                     "); pack the data again or remove the file");
  }
}

std::optional<ShardManifest> FindManifest(const std::string& folder) {
  const std::string path = folder + "/manifest.json";
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return std::nullopt;
  return ManifestFromJson(ReadWholeFile(path), path);
}

std::string ShardFileSha256(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash);
  const std::string name = path.substr(slash + 1);
  struct stat info {};
  if (const std::optional<ShardManifest> manifest = FindManifest(folder);
      manifest && stat(path.c_str(), &info) == 0) {
    for (const ShardSet* set : {&manifest->train, &manifest->val}) {
      for (const ShardFile& file : set->files) {
        if (file.name == name && file.bytes == info.st_size) return file.sha256;
      }
    }
  }
  return Sha256HexOfFile(path);
}

}  // namespace loglog
