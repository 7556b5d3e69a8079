#include "shards/pack.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>

#include "shards/file_writer.h"
#include "shards/sha256.h"
#include "shards/token_shard.h"

namespace loglog {
namespace {

namespace fs = std::filesystem;

// Documents are told apart by the first 16 bits of their hash when the cut is made:
// memory does not grow with the number of documents.
constexpr int kBins = 1 << 16;
// A document begins with a byte that no text has.
constexpr std::string_view kBeginOfDocument("\0", 1);

int Bin(std::string_view document) {
  Sha256 hash;
  hash.Update(document);
  return static_cast<int>(hash.Prefix64() >> 48);
}

std::string_view Text(const FileMap& map) {
  return {reinterpret_cast<const char*>(map.data()), map.size()};
}

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// Calls `take` with every document of `text` that is not blank.
void ForEachDocument(std::string_view text, DocumentRule rule,
                     const std::function<void(std::string_view)>& take) {
  if (rule == DocumentRule::kFiles) {
    if (!text.empty()) take(text);
    return;
  }
  size_t begin = 0, at = 0;
  while (at < text.size()) {
    const size_t newline = text.find('\n', at);
    const size_t next = newline == std::string_view::npos ? text.size() : newline + 1;
    if (IsBlank(text.substr(at, next - at))) {
      if (at > begin) take(text.substr(begin, at - begin));
      begin = next;
    }
    at = next;
  }
  if (begin < text.size()) take(text.substr(begin));
}

// Writes the documents of one side of the split. The number of tokens to come is known
// from the first pass, so that headers are right from the start.
class ShardSetWriter {
 public:
  ShardSetWriter(std::string folder, std::string prefix, int64_t tokens, int64_t shard_tokens)
      : folder_(std::move(folder)),
        prefix_(std::move(prefix)),
        tokens_left_(tokens),
        shard_tokens_(shard_tokens) {}

  void AddDocument(std::string_view text) {
    ++set_.documents;
    AddTokens(kBeginOfDocument);
    AddTokens(text);
  }

  ShardSet Finish() {
    if (file_ != nullptr || tokens_left_ != 0) InputsChanged();
    return set_;
  }

 private:
  [[noreturn]] static void InputsChanged() {
    throw ShardError("the input files changed while they were packed; pack them again");
  }

  void AddTokens(std::string_view bytes) {
    while (!bytes.empty()) {
      if (file_ == nullptr) StartFile();
      const size_t take = std::min({bytes.size(), size_t{4096}, static_cast<size_t>(file_left_)});
      uint16_t tokens[4096];
      for (size_t i = 0; i < take; ++i) tokens[i] = static_cast<uint8_t>(bytes[i]);
      file_->Append(tokens, take * sizeof tokens[0]);
      bytes.remove_prefix(take);
      file_left_ -= static_cast<int64_t>(take);
      if (file_left_ == 0) FinishFile();
    }
  }

  void StartFile() {
    if (tokens_left_ == 0) InputsChanged();
    char name[64];
    std::snprintf(name, sizeof name, "%s-%05zu.bin", prefix_.c_str(), set_.files.size());
    file_left_ = std::min(tokens_left_, shard_tokens_);
    tokens_left_ -= file_left_;
    current_ = {name, file_left_, kLlmcHeaderBytes + 2 * file_left_, ""};
    file_ = std::make_unique<FileWriter>(folder_ + "/" + name, current_.bytes);
    file_->Append(LlmcHeader(file_left_, 2).data(), kLlmcHeaderBytes);
  }

  void FinishFile() {
    file_->Close();
    current_.sha256 = file_->HexSha256();
    file_.reset();
    set_.tokens += current_.tokens;
    set_.files.push_back(current_);
  }

  const std::string folder_, prefix_;
  int64_t tokens_left_;  // beyond the current file
  const int64_t shard_tokens_;
  ShardSet set_;
  ShardFile current_;
  std::unique_ptr<FileWriter> file_;
  int64_t file_left_ = 0;
};

void CheckOptions(const PackOptions& options) {
  if (options.inputs.empty()) throw ShardError("no input files were given to pack");
  if (options.output.empty()) throw ShardError("no output folder was given to pack into");
  if (!(options.val_share > 0 && options.val_share < 1)) {
    throw ShardError("the validation share must lie between 0 and 1, like 0.05");
  }
  if (options.shard_tokens < 1 || options.shard_tokens > 1'000'000'000) {
    throw ShardError("tokens per shard must lie between 1 and 1000000000");
  }
  std::error_code ignored;
  if (!fs::exists(options.output, ignored)) return;
  if (!fs::is_directory(options.output, ignored)) {
    throw ShardError(options.output + ": is a file; name a folder for the shards");
  }
  if (fs::is_empty(options.output, ignored)) return;
  if (!fs::exists(options.output + "/manifest.json", ignored)) {
    throw ShardError(options.output +
                     ": is not empty and holds no manifest.json, so it is not replaced; name "
                     "another folder");
  }
  FindManifest(options.output);  // somebody else's manifest.json is not replaced either
  if (!options.overwrite) {
    throw ShardError(options.output +
                     ": already holds packed shards; name another folder, or add --overwrite");
  }
}

// The first pass: sizes, hashes, and the check for bytes that cannot be packed.
struct Survey {
  std::vector<int64_t> bytes_in_bin = std::vector<int64_t>(kBins, 0);
  std::vector<int64_t> documents_in_bin = std::vector<int64_t>(kBins, 0);
  int64_t bytes = 0;
  int64_t documents = 0;

  // Tokens of the documents in bins [begin, end): their bytes and a boundary for each.
  int64_t Tokens(int begin, int end) const {
    int64_t tokens = 0;
    for (int bin = begin; bin < end; ++bin) tokens += bytes_in_bin[bin] + documents_in_bin[bin];
    return tokens;
  }
};

class Packer {
 public:
  explicit Packer(const PackOptions& options) : options_(options) {
    std::error_code error;
    for (const std::string& input : options.inputs) {
      const auto size = fs::file_size(input, error);
      if (!error) total_ += 2 * static_cast<int64_t>(size);
    }
  }

  Survey Look() {
    Survey survey;
    for (const std::string& input : options_.inputs) {
      const FileMap map(input);
      const std::string_view text = Text(map);
      if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
        throw ShardError(input + ":" + std::to_string(nul) +
                         ": a NUL byte at this offset; token 0 marks where documents begin, so it "
                         "cannot be in the text. Is this a text file, in UTF-8?");
      }
      ForEachDocument(text, options_.documents, [&](std::string_view document) {
        const int bin = Bin(document);
        survey.bytes_in_bin[bin] += static_cast<int64_t>(document.size());
        ++survey.documents_in_bin[bin];
        survey.bytes += static_cast<int64_t>(document.size());
        ++survey.documents;
      });
      Progress(text.size());
    }
    if (survey.documents == 0) throw ShardError(options_.inputs[0] + ": there is no text to pack");
    return survey;
  }

  // The first bin whose documents are training text.
  int Cut(const Survey& survey) const {
    const double wanted = options_.val_share * static_cast<double>(survey.bytes);
    int64_t val_bytes = 0;
    int bin = 0;
    while (static_cast<double>(val_bytes) < wanted) val_bytes += survey.bytes_in_bin[bin++];
    if (val_bytes == survey.bytes) {
      throw ShardError(
          options_.inputs[0] + ": " + std::to_string(survey.documents) +
          (survey.documents == 1 ? " document is" : " documents are") +
          " too few to keep some for validation" +
          (options_.documents == DocumentRule::kFiles
               ? "; split documents at blank lines (--documents blank-lines), or give more files"
               : "; give text with more blank lines in it, or more files as documents"));
    }
    return bin;
  }

  ShardManifest Write(const std::string& folder, const Survey& survey, int cut) {
    ShardSetWriter train(folder, "train", survey.Tokens(cut, kBins), options_.shard_tokens);
    ShardSetWriter val(folder, "val", survey.Tokens(0, cut), options_.shard_tokens);
    for (const std::string& input : options_.inputs) {
      const FileMap map(input);
      ForEachDocument(Text(map), options_.documents, [&](std::string_view document) {
        (Bin(document) < cut ? val : train).AddDocument(document);
      });
      Progress(map.size());
    }
    ShardManifest manifest;
    manifest.document_rule = options_.documents == DocumentRule::kFiles ? "files" : "blank-lines";
    manifest.val_share = options_.val_share;
    manifest.train = train.Finish();
    manifest.val = val.Finish();
    std::vector<std::string> hashes[2];
    for (const ShardFile& file : manifest.train.files) hashes[0].push_back(file.sha256);
    for (const ShardFile& file : manifest.val.files) hashes[1].push_back(file.sha256);
    manifest.data_sha256 = DataSha256(hashes[0], hashes[1]);
    FileWriter file(folder + "/manifest.json");
    file.Append(ManifestToJson(manifest));
    file.Close();
    SyncDirectory(folder);
    return manifest;
  }

 private:
  void Progress(size_t bytes) {
    done_ += static_cast<int64_t>(bytes);
    if (options_.progress) options_.progress(done_, std::max(done_, total_));
  }

  const PackOptions& options_;
  int64_t done_ = 0, total_ = 0;
};

// Puts the finished folder in the output's place.
void PutInPlace(const std::string& folder, const std::string& output) {
  std::error_code ignored;
  const std::string old = folder + ".old";
  const bool replaces = fs::exists(output, ignored) && !fs::is_empty(output, ignored);
  if (replaces && std::rename(output.c_str(), old.c_str()) != 0) {
    throw ShardError(output + ": cannot be replaced: " + std::strerror(errno));
  }
  if (std::rename(folder.c_str(), output.c_str()) != 0) {
    const std::string reason = std::strerror(errno);
    if (replaces) std::rename(old.c_str(), output.c_str());
    throw ShardError(output + ": cannot be put in place: " + reason);
  }
  const std::string parent = fs::absolute(output).parent_path().string();
  SyncDirectory(parent);
  if (replaces) fs::remove_all(old, ignored);
}

}  // namespace

ShardManifest Pack(const PackOptions& caller_options) {
  PackOptions options = caller_options;
  while (options.output.size() > 1 && options.output.back() == '/') options.output.pop_back();
  CheckOptions(options);
  Packer packer(options);
  const Survey survey = packer.Look();
  const int cut = packer.Cut(survey);
  const std::string folder = options.output + ".tmp-" + std::to_string(getpid());
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw ShardError(folder + ": cannot be created: " + error.message());
  try {
    ShardManifest manifest = packer.Write(folder, survey, cut);
    PutInPlace(folder, options.output);
    return manifest;
  } catch (...) {
    fs::remove_all(folder, error);
    throw;
  }
}

}  // namespace loglog
