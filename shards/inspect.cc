#include "shards/inspect.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <unordered_map>

#include "shards/sha256.h"
#include "shards/token_shard.h"

namespace loglog {
namespace {

namespace fs = std::filesystem;

bool HasLlmcHeader(const std::string& path) {
  const FileMap map(path);
  int32_t magic = 0;
  if (map.size() < 4) return false;
  std::memcpy(&magic, map.data(), 4);
  return magic == kLlmcMagicU16 || magic == kLlmcMagicU32 || magic == kLlmcMagicEval;
}

bool HasSuffix(const std::string& text, const std::string& suffix) {
  return text.size() > suffix.size() &&
         text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}

ShardFormat FormatOf(const std::string& path, int raw_bytes) {
  if (HasSuffix(path, ".idx")) return ShardFormat::kMegatron;
  if (HasLlmcHeader(path)) return ShardFormat::kLlmc;
  return raw_bytes == 4 ? ShardFormat::kRawU32 : ShardFormat::kRawU16;
}

void CountTokens(const TokenShard& shard, int top, ShardFileReport* report) {
  std::vector<int64_t> small(65536, 0);
  std::unordered_map<uint32_t, int64_t> large;
  for (int64_t i = 0; i < shard.tokens(); ++i) {
    const int64_t wide = shard.At(i);
    if (wide < 0 || wide > std::numeric_limits<uint32_t>::max()) {
      throw ShardError(shard.path() + ": token " + std::to_string(i) + " is " +
                       std::to_string(wide) + ", which is no token id");
    }
    const uint32_t id = static_cast<uint32_t>(wide);
    if (id < small.size()) {
      ++small[id];
    } else {
      ++large[id];
    }
  }
  std::vector<std::pair<uint32_t, int64_t>> counts(large.begin(), large.end());
  for (uint32_t id = 0; id < small.size(); ++id) {
    if (small[id] > 0) counts.push_back({id, small[id]});
  }
  std::sort(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  report->distinct_tokens = static_cast<int64_t>(counts.size());
  report->min_token = report->max_token = counts.front().first;
  for (const auto& [id, count] : counts) {
    report->min_token = std::min(report->min_token, id);
    report->max_token = std::max(report->max_token, id);
    const double p = static_cast<double>(count) / static_cast<double>(shard.tokens());
    report->unigram_entropy -= p * std::log(p);
  }
  counts.resize(std::min<size_t>(counts.size(), std::max(top, 0)));
  report->top_tokens = std::move(counts);
}

// Nothing when the file is unusable, which is then among the problems.
std::optional<ShardFileReport> InspectFile(const std::string& path, const InspectOptions& options,
                                           std::vector<std::string>* problems) {
  try {
    ShardFileReport report;
    const ShardFormat format = FormatOf(path, options.raw_bytes);
    const TokenShard shard(path, format);
    report.path = path;
    report.format = (format == ShardFormat::kLlmc       ? "llm.c uint"
                     : format == ShardFormat::kMegatron ? "Megatron int"
                                                        : "raw uint") +
                    std::to_string(8 * shard.token_bytes());
    report.documents = shard.documents();
    report.bytes = shard.file_bytes();
    report.tokens = shard.tokens();
    CountTokens(shard, options.top, &report);
    if (options.verify_hashes) report.sha256 = Sha256HexOfFile(path);
    return report;
  } catch (const std::runtime_error& error) {
    problems->push_back(error.what());
    return std::nullopt;
  }
}

void Compare(const ShardFile& listed, const ShardFileReport& found, int64_t vocab,
             std::vector<std::string>* problems) {
  auto differs = [&](const std::string& what) {
    problems->push_back(found.path + ": " + what + "; copy or pack it again");
  };
  if (found.bytes != listed.bytes || found.tokens != listed.tokens) {
    differs("has " + std::to_string(found.tokens) + " tokens in " + std::to_string(found.bytes) +
            " bytes where the manifest says " + std::to_string(listed.tokens) + " in " +
            std::to_string(listed.bytes));
  } else if (!found.sha256.empty() && found.sha256 != listed.sha256) {
    differs("its contents do not match the manifest (SHA-256 " + found.sha256 + ", expected " +
            listed.sha256 + ")");
  }
  if (found.max_token >= vocab) {
    differs("holds token id " + std::to_string(found.max_token) +
            ", outside the manifest's vocabulary of " + std::to_string(vocab));
  }
}

void InspectManifest(const std::string& folder, const InspectOptions& options,
                     InspectReport* report) {
  std::vector<std::string> hashes[2];
  const ShardSet* sets[2] = {&report->manifest->train, &report->manifest->val};
  for (int side = 0; side < 2; ++side) {
    int64_t tokens = 0;
    for (const ShardFile& listed : sets[side]->files) {
      hashes[side].push_back(listed.sha256);
      tokens += listed.tokens;
      if (auto found = InspectFile(folder + "/" + listed.name, options, &report->problems)) {
        Compare(listed, *found, report->manifest->vocab, &report->problems);
        report->files.push_back(std::move(*found));
      }
    }
    if (tokens != sets[side]->tokens) {
      report->problems.push_back(folder + "/manifest.json: the " + (side == 0 ? "train" : "val") +
                                 " files have " + std::to_string(tokens) +
                                 " tokens together and the set says " +
                                 std::to_string(sets[side]->tokens));
    }
  }
  if (DataSha256(hashes[0], hashes[1]) != report->manifest->data_sha256) {
    report->problems.push_back(
        folder +
        "/manifest.json: data_sha256 does not follow from its files' hashes; "
        "the manifest was edited, pack the data again");
  }
}

}  // namespace

InspectReport Inspect(const std::string& path, const InspectOptions& options) {
  InspectReport report;
  std::error_code error;
  if (!fs::exists(path, error)) throw ShardError(path + ": no such file or folder");
  if (!fs::is_directory(path, error)) {
    if (auto file = InspectFile(path, options, &report.problems)) {
      report.files.push_back(std::move(*file));
    }
    return report;
  }
  report.manifest = FindManifest(path);
  if (report.manifest) {
    InspectManifest(path, options, &report);
    return report;
  }
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (!entry.is_regular_file()) continue;
    const std::string name = entry.path().string();
    // The .bin file of an index is looked at through it.
    const bool indexed =
        HasSuffix(name, ".bin") && fs::exists(name.substr(0, name.size() - 4) + ".idx", error);
    if ((HasSuffix(name, ".bin") && !indexed) || HasSuffix(name, ".idx")) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  if (names.empty()) {
    throw ShardError(path + ": holds neither manifest.json nor any .bin or .idx file");
  }
  for (const std::string& name : names) {
    if (auto file = InspectFile(name, options, &report.problems)) {
      report.files.push_back(std::move(*file));
    }
  }
  return report;
}

}  // namespace loglog
