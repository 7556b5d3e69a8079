#include "trainer/data.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "shards/file_writer.h"
#include "shards/manifest.h"
#include "shards/megatron.h"
#include "shards/sha256.h"
#include "trainer/shared_files.h"

namespace loglog {
namespace {

// Sets up to this size are read through once at the start, so that a stray token is an
// error now and not at some later step.
constexpr int64_t kCheckedTokens = int64_t{1} << 26;
// The validation stream of a synthetic source is one and the same for every seed.
constexpr int64_t kValidationSeed = 0;

ShardFormat ShardFormatOf(DataFormat format) {
  switch (format) {
    case DataFormat::kU16:
      return ShardFormat::kRawU16;
    case DataFormat::kU32:
      return ShardFormat::kRawU32;
    case DataFormat::kMegatron:
      return ShardFormat::kMegatron;
    default:
      return ShardFormat::kLlmc;
  }
}

std::unique_ptr<WindowSet> OpenShards(const std::vector<std::string>& paths, DataFormat format,
                                      const MemberConfig& config,
                                      std::vector<std::string>* hashes) {
  auto set = std::make_unique<WindowSet>(paths, ShardFormatOf(format), config.model.seq_len,
                                         config.model.vocab);
  if (set->tokens() <= kCheckedTokens) set->CheckAll();
  for (const std::string& path : paths) {
    hashes->push_back(ShardFileSha256(path));
    if (format == DataFormat::kMegatron) hashes->push_back(ShardFileSha256(MegatronBinPath(path)));
  }
  return set;
}

// One without a name and of weight 1 where the split has no domains.
std::vector<Domain> DomainsOf(const DataSplit& split, const std::string& field) {
  if (!split.domains.empty()) return ParseDomains(split.domains, field);
  return {{.name = "", .weight = 1, .glob = split.glob}};
}

// Token files of one side, opened.
struct Side {
  std::vector<Domain> domains;
  std::vector<GlobbedFiles> files;  // by domain
  std::vector<std::unique_ptr<WindowSet>> sets;

  Side(const DataSplit& split, const std::string& field, const std::string& data_root) {
    if (split.format == DataFormat::kSynthetic) return;
    domains = DomainsOf(split, field);
    for (const Domain& domain : domains) {
      files.push_back({domain.glob, GlobShards(data_root, domain.glob)});
    }
  }
  void Open(DataFormat format, const MemberConfig& config, std::vector<std::string>* hashes) {
    for (const GlobbedFiles& own : files) {
      sets.push_back(OpenShards(own.paths, format, config, hashes));
    }
  }
};

// Tokens for each byte of text of these files, where they are just the validation files that
// manifests beside them list; else 0, and where a manifest does not tell.
double TokensPerByte(const std::vector<std::string>& paths) {
  int64_t tokens = 0, bytes = 0;
  std::map<std::string, std::set<std::string>> names_by_folder;
  for (const std::string& path : paths) {
    const std::filesystem::path file(path);
    names_by_folder[file.parent_path().string()].insert(file.filename().string());
  }
  for (const auto& [folder, names] : names_by_folder) {
    const auto manifest = FindManifest(folder.empty() ? "." : folder);
    if (!manifest || manifest->val.TextBytes(manifest->tokenizer) == 0) return 0;
    std::set<std::string> listed;
    for (const ShardFile& file : manifest->val.files) listed.insert(file.name);
    if (names != listed) return 0;
    tokens += manifest->val.tokens;
    bytes += manifest->val.TextBytes(manifest->tokenizer);
  }
  return static_cast<double>(tokens) / static_cast<double>(bytes);
}

}  // namespace

TrainingData::TrainingData(const MemberConfig& config, const std::string& data_root)
    : seq_len_(config.model.seq_len) {
  const auto unavailable = [&](const std::exception& error) {
    return DataUnavailable(
        std::string(error.what()) + " (this host's data_root is " +
        std::filesystem::absolute(data_root.empty() ? "." : data_root).lexically_normal().string() +
        "; loglog-worker takes another with --data-root)");
  };
  try {
    Load(config, data_root);
  } catch (const DataUnavailable& error) {
    throw unavailable(error);
  } catch (const FileError& error) {
    throw unavailable(error);
  } catch (const std::filesystem::filesystem_error& error) {
    throw unavailable(error);
  }
}

void TrainingData::Load(const MemberConfig& config, const std::string& data_root) {
  const DataConfig& data = config.data;
  const int64_t sequences = config.eval.tokens / seq_len_;
  if (IsGenerated(data.train.format) || IsOfPairs(data.train.format)) {
    generator_ = MakeGenerator(data, config.model, data_root);
    eval_sets_ = generator_->EvalSets(sequences);
    entropy_rate_ = generator_->EntropyRate();
    sha256_ = Sha256Hex(generator_->Description());
    return;
  }
  eval_sets_.resize(1);
  Side train(data.train, "data.train.domains", data_root);
  Side val(data.val, "data.val.domains", data_root);
  RefuseSharedFiles(train.files, val.files, ", such as train-*.bin and val-*.bin");
  if (data.train.format == DataFormat::kSynthetic || data.val.format == DataFormat::kSynthetic) {
    synthetic_ =
        std::make_unique<SyntheticSource>(SyntheticParams{.contexts = data.synthetic.contexts,
                                                          .zipf = data.synthetic.zipf,
                                                          .branching = data.synthetic.branching,
                                                          .seed = data.synthetic.seed},
                                          config.model.vocab);
  }
  std::vector<std::string> train_hashes, val_hashes;
  if (data.train.format == DataFormat::kSynthetic) {
    train_hashes.push_back(synthetic_->Sha256());
  } else {
    train.Open(data.train.format, config, &train_hashes);
    shards_ = std::move(train.sets);
    if (shards_.size() > 1) mix_.emplace(train.domains, "data.train.domains");
  }
  if (data.val.format == DataFormat::kSynthetic) {
    val_hashes.push_back(synthetic_->Sha256());
    DrawValidation(sequences);
  } else {
    val.Open(data.val.format, config, &val_hashes);
    std::vector<double> tokens_per_byte;
    for (const GlobbedFiles& own : val.files) tokens_per_byte.push_back(TokensPerByte(own.paths));
    PickValidation(val.domains, val.sets, tokens_per_byte, sequences);
  }
  sha256_ = DataSha256(train_hashes, val_hashes);
}

void TrainingData::DrawValidation(int64_t sequences) {
  const int64_t width = seq_len_ + 1;
  std::vector<int32_t>& validation = eval_sets_[0].tokens;
  validation.resize(static_cast<size_t>(sequences * width));
  double sum = 0;
  for (int64_t i = 0; i < sequences; ++i) {
    int32_t* sequence = &validation[static_cast<size_t>(i * width)];
    synthetic_->Fill(SyntheticSource::Stream::kVal, kValidationSeed, i, width, sequence);
    sum += synthetic_->NegLogLikelihood(sequence, width);
  }
  entropy_rate_ = synthetic_->EntropyRate(seq_len_);
  validation_floor_ = sum / static_cast<double>(sequences * seq_len_);
}

void TrainingData::Pick(const WindowSet& set, int64_t sequences,
                        std::vector<int32_t>* tokens) const {
  const size_t width = static_cast<size_t>(seq_len_ + 1);
  sequences = std::min(sequences, set.windows());
  for (int64_t i = 0; i < sequences; ++i) {
    tokens->resize(tokens->size() + width);
    set.Read(i * set.windows() / sequences, &*(tokens->end() - static_cast<int64_t>(width)));
  }
}

void TrainingData::PickValidation(const std::vector<Domain>& domains,
                                  const std::vector<std::unique_ptr<WindowSet>>& sets,
                                  const std::vector<double>& tokens_per_byte, int64_t sequences) {
  if (sets.size() == 1) {
    Pick(*sets[0], sequences, &eval_sets_[0].tokens);
    eval_sets_[0].tokens_per_byte = tokens_per_byte[0];
    return;
  }
  std::vector<int64_t> windows;
  for (const auto& set : sets) windows.push_back(set->windows());
  const std::vector<int64_t> shares =
      DomainMix(domains, "data.val.domains").Split(sequences, windows);
  for (size_t i = 0; i < sets.size(); ++i) Pick(*sets[i], shares[i], &eval_sets_[0].tokens);
  for (size_t i = 0; i < sets.size(); ++i) {
    EvalSet set{.name = domains[i].name, .tokens_per_byte = tokens_per_byte[i]};
    Pick(*sets[i], std::max<int64_t>(1, sequences / static_cast<int64_t>(sets.size())),
         &set.tokens);
    eval_sets_.push_back(std::move(set));
  }
}

void TrainingData::Fill(int64_t seed, int64_t position, int64_t sequences, int32_t* out) const {
  for (int64_t i = 0; i < sequences; ++i, out += seq_len_ + 1) {
    if (generator_ != nullptr) {
      generator_->Fill(static_cast<uint64_t>(seed), position + i, out);
    } else if (!shards_.empty()) {
      const DomainMix::Place place = mix_ ? mix_->At(static_cast<uint64_t>(seed), position + i)
                                          : DomainMix::Place{.position = position + i};
      const WindowSet& shards = *shards_[place.domain];
      shards.Read(shards.Shuffled(seed, place.position), out);
    } else {
      synthetic_->Fill(SyntheticSource::Stream::kTrain, seed, position + i, seq_len_ + 1, out);
    }
  }
}

std::vector<double> TrainingData::TokenFrequencies(int64_t vocab) const {
  std::vector<double> shares(static_cast<size_t>(vocab));
  const double share = 1 / static_cast<double>(validation().size());
  // Beyond the vocabulary is for the engine to refuse, which names the place.
  for (const int32_t token : validation()) {
    const size_t id = static_cast<size_t>(token < 0 ? ~token : token);
    if (id < shares.size()) shares[id] += share;
  }
  return shares;
}

std::optional<int64_t> TrainingData::epoch_sequences() const {
  if (generator_ != nullptr) return generator_->EpochSequences();
  if (shards_.size() != 1) return std::nullopt;
  return shards_[0]->windows();
}

void FillBatch(const std::vector<MemberConfig>& members, const TrainingData& data, int64_t step,
               std::vector<int32_t>* batch) {
  const int64_t sequences = members[0].SequencesPerStep();
  const size_t stride = static_cast<size_t>(sequences * (members[0].model.seq_len + 1));
  batch->resize(members.size() * stride);
  for (size_t i = 0; i < members.size(); ++i) {
    data.Fill(members[i].seed, step * sequences, sequences, batch->data() + i * stride);
  }
}

}  // namespace loglog
