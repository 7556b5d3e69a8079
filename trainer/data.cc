#include "trainer/data.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "shards/file_writer.h"
#include "shards/manifest.h"
#include "shards/sha256.h"

namespace loglog {
namespace {

// Sets up to this size are read through once at the start, so that a stray token is an
// error now and not at some later step.
constexpr int64_t kCheckedTokens = int64_t{1} << 26;
// The validation stream of a synthetic source is one and the same for every seed.
constexpr int64_t kValidationSeed = 0;

std::unique_ptr<WindowSet> OpenShards(const std::vector<std::string>& paths, DataFormat format,
                                      const MemberConfig& config,
                                      std::vector<std::string>* hashes) {
  auto set = std::make_unique<WindowSet>(
      paths, format == DataFormat::kLlmc ? ShardFormat::kLlmc : ShardFormat::kRawU16,
      config.model.seq_len, config.model.vocab);
  if (set->tokens() <= kCheckedTokens) set->CheckAll();
  for (const std::string& path : paths) hashes->push_back(ShardFileSha256(path));
  return set;
}

std::vector<std::string> PathsOf(const DataSplit& split, const std::string& data_root) {
  if (split.format == DataFormat::kSynthetic || IsGenerated(split.format)) return {};
  return GlobShards(data_root, split.glob);
}

// A loss on text that was trained on is no validation loss, and nothing later would show it.
void RefuseSharedFiles(const DataConfig& data, const std::vector<std::string>& train,
                       const std::vector<std::string>& val) {
  std::map<std::string, std::string> trained;
  for (const std::string& path : train) trained[std::filesystem::canonical(path).string()] = path;
  for (const std::string& path : val) {
    const std::string file = std::filesystem::canonical(path).string();
    if (trained.count(file) == 0) continue;
    throw ShardError("data.train.glob \"" + data.train.glob + "\" and data.val.glob \"" +
                     data.val.glob + "\" both match " + path +
                     ", which would be trained on and then validated on; make them match "
                     "different files, such as train-*.bin and val-*.bin");
  }
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
  if (IsGenerated(data.train.format)) {
    generator_ = MakeGenerator(data, config.model);
    eval_sets_ = generator_->EvalSets(sequences);
    entropy_rate_ = generator_->EntropyRate();
    sha256_ = Sha256Hex(generator_->Description());
    return;
  }
  eval_sets_.resize(1);
  const std::vector<std::string> train_paths = PathsOf(data.train, data_root);
  const std::vector<std::string> val_paths = PathsOf(data.val, data_root);
  RefuseSharedFiles(data, train_paths, val_paths);
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
    shards_ = OpenShards(train_paths, data.train.format, config, &train_hashes);
  }
  if (data.val.format == DataFormat::kSynthetic) {
    val_hashes.push_back(synthetic_->Sha256());
    DrawValidation(sequences);
  } else {
    PickValidation(*OpenShards(val_paths, data.val.format, config, &val_hashes), sequences);
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

void TrainingData::PickValidation(const WindowSet& set, int64_t sequences) {
  const int64_t width = seq_len_ + 1;
  sequences = std::min(sequences, set.windows());
  std::vector<int32_t>& validation = eval_sets_[0].tokens;
  validation.resize(static_cast<size_t>(sequences * width));
  for (int64_t i = 0; i < sequences; ++i) {
    set.Read(i * set.windows() / sequences, &validation[static_cast<size_t>(i * width)]);
  }
}

void TrainingData::Fill(int64_t seed, int64_t position, int64_t sequences, int32_t* out) const {
  for (int64_t i = 0; i < sequences; ++i, out += seq_len_ + 1) {
    if (generator_ != nullptr) {
      generator_->Fill(static_cast<uint64_t>(seed), position + i, out);
    } else if (shards_ != nullptr) {
      shards_->Read(shards_->Shuffled(seed, position + i), out);
    } else {
      synthetic_->Fill(SyntheticSource::Stream::kTrain, seed, position + i, seq_len_ + 1, out);
    }
  }
}

std::optional<int64_t> TrainingData::epoch_sequences() const {
  if (shards_ == nullptr) return std::nullopt;
  return shards_->windows();
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
