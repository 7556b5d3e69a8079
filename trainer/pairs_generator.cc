#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "shards/random.h"
#include "shards/sha256.h"
#include "shards/token_shard.h"
#include "shards/window_order.h"
#include "trainer/generators.h"
#include "trainer/pair_files.h"
#include "trainer/shared_files.h"

namespace loglog {
namespace {

constexpr uint64_t kOrderKey = 0x7061697273000001ULL;
constexpr int32_t kPad = 0, kSep = 1, kEnd = 2, kFirstWord = 3;

struct PairFile {
  std::string name;  // without folder and extension
  std::vector<TextPair> pairs;
};

class PairsGenerator final : public Generator {
 public:
  PairsGenerator(const DataConfig& data, const ModelConfig& model, const std::string& data_root)
      : width_(model.seq_len + 1) {
    const std::vector<std::string> train = GlobShards(data_root, data.train.glob);
    const std::vector<std::string> val = GlobShards(data_root, data.val.glob);
    RefuseSharedFiles({{data.train.glob, train}}, {{data.val.glob, val}}, /*such_as=*/"");
    std::vector<TextPair> examples;
    for (const std::string& path : train) {
      for (TextPair& pair : Read(data.train.format, path, "train")) {
        examples.push_back(std::move(pair));
      }
    }
    for (const std::string& path : val) {
      files_.push_back(
          {std::filesystem::path(path).stem().string(), Read(data.val.format, path, "val")});
      if (std::count_if(files_.begin(), files_.end(), [this](const PairFile& file) {
            return file.name == files_.back().name;
          }) > 1) {
        throw ShardError(path + ": is the second file of data.val.glob called " +
                         files_.back().name + ", and sets are named after files; rename it");
      }
    }
    NumberWords(examples, model);
    for (const TextPair& pair : examples) Append(pair, &train_);
    for (const PairFile& file : files_) {
      // Now, so that one that does not fit is refused at the start.
      std::vector<int32_t> ignored;
      for (const TextPair& pair : file.pairs) Append(pair, &ignored);
    }
  }

  void Fill(uint64_t seed, int64_t position, int32_t* sequence) const override {
    const uint64_t count = train_.size() / static_cast<size_t>(width_);
    const uint64_t place = static_cast<uint64_t>(position);
    const Permutation order(count, DeriveKey({kOrderKey, seed, place / count}));
    std::copy_n(&train_[order(place % count) * static_cast<size_t>(width_)], width_, sequence);
  }

  std::optional<int64_t> EpochSequences() const override {
    return static_cast<int64_t>(train_.size()) / width_;
  }

  std::vector<EvalSet> EvalSets(int64_t sequences) const override {
    std::vector<EvalSet> sets;
    for (const PairFile& file : files_) {
      std::map<std::string, std::vector<const TextPair*>> kinds;
      std::vector<const TextPair*> all;
      for (const TextPair& pair : file.pairs) {
        all.push_back(&pair);
        kinds[pair.kind].push_back(&pair);
      }
      sets.push_back(Set(file.name, all, sequences));
      if (kinds.size() == 1) continue;
      for (const auto& [kind, pairs] : kinds) {
        if (!kind.empty()) sets.push_back(Set(file.name + "." + kind, pairs, sequences));
      }
    }
    return sets;
  }

  std::string Description() const override { return "loglog pairs 1: " + hashes_; }

 private:
  std::vector<TextPair> Read(DataFormat format, const std::string& path, const char* side) {
    hashes_ += std::string(side) + " " + Sha256HexOfFile(path) + "\n";
    return ReadPairFile(format, path);
  }

  void NumberWords(const std::vector<TextPair>& examples, const ModelConfig& model) {
    std::set<std::string> words;
    const auto add = [&words](const TextPair& pair) {
      words.insert(pair.input.begin(), pair.input.end());
      words.insert(pair.output.begin(), pair.output.end());
    };
    for (const TextPair& pair : examples) add(pair);
    for (const PairFile& file : files_) {
      for (const TextPair& pair : file.pairs) add(pair);
    }
    const int64_t ids = kFirstWord + static_cast<int64_t>(words.size());
    if (ids > model.vocab) {
      throw ConfigError("model.vocab is " + std::to_string(model.vocab) + ", and the " +
                        std::to_string(words.size()) +
                        " words of data.train.glob and "
                        "data.val.glob with three marks need " +
                        std::to_string(ids) + "; raise it to that");
    }
    int32_t next = kFirstWord;
    for (const std::string& word : words) ids_[word] = next++;
  }

  void Append(const TextPair& pair, std::vector<int32_t>* to) const {
    const size_t needed = pair.input.size() + pair.output.size() + 2;
    if (needed > static_cast<size_t>(width_)) {
      throw ConfigError("model.seq_len is " + std::to_string(width_ - 1) + ", and the example at " +
                        pair.place + " takes " + std::to_string(needed) +
                        " tokens; raise it to at least " + std::to_string(needed - 1));
    }
    for (const std::string& word : pair.input) to->push_back(~ids_.at(word));
    to->push_back(~kSep);
    for (const std::string& word : pair.output) to->push_back(ids_.at(word));
    to->push_back(kEnd);
    to->insert(to->end(), static_cast<size_t>(width_) - needed, ~kPad);
  }

  // Of more, `sequences` spread evenly.
  EvalSet Set(const std::string& name, const std::vector<const TextPair*>& pairs,
              int64_t sequences) const {
    EvalSet set{.name = name, .report = EvalSet::Report::kLossAndExact, .width = width_};
    const size_t count = std::min(pairs.size(), static_cast<size_t>(sequences));
    for (size_t i = 0; i < count; ++i) Append(*pairs[i * pairs.size() / count], &set.tokens);
    return set;
  }

  int64_t width_;
  std::vector<PairFile> files_;
  std::map<std::string, int32_t> ids_;
  std::vector<int32_t> train_;  // sequences of width_
  std::string hashes_;
};

}  // namespace

std::unique_ptr<Generator> MakePairsGenerator(const DataConfig& data, const ModelConfig& model,
                                              const std::string& data_root) {
  return std::make_unique<PairsGenerator>(data, model, data_root);
}

}  // namespace loglog
