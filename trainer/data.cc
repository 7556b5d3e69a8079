#include "trainer/data.h"

#include <algorithm>

#include "shards/manifest.h"

namespace loglog {
namespace {

// Sets up to this size are read through once at the start, so that a stray token is an
// error now and not at some later step.
constexpr int64_t kCheckedTokens = int64_t{1} << 26;
// The validation stream of a synthetic source is one and the same for every seed.
constexpr int64_t kValidationSeed = 0;

std::unique_ptr<WindowSet> OpenShards(const DataSplit& split, const MemberConfig& config,
                                      const std::string& data_root,
                                      std::vector<std::string>* hashes) {
  const std::vector<std::string> paths = GlobShards(data_root, split.glob);
  auto set = std::make_unique<WindowSet>(
      paths, split.format == DataFormat::kLlmc ? ShardFormat::kLlmc : ShardFormat::kRawU16,
      config.model.seq_len, config.model.vocab);
  if (set->tokens() <= kCheckedTokens) set->CheckAll();
  for (const std::string& path : paths) hashes->push_back(ShardFileSha256(path));
  return set;
}

}  // namespace

TrainingData::TrainingData(const MemberConfig& config, const std::string& data_root)
    : seq_len_(config.model.seq_len) {
  const DataConfig& data = config.data;
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
    shards_ = OpenShards(data.train, config, data_root, &train_hashes);
  }
  LoadValidation(config, data_root, &val_hashes);
  sha256_ = DataSha256(train_hashes, val_hashes);
}

void TrainingData::LoadValidation(const MemberConfig& config, const std::string& data_root,
                                  std::vector<std::string>* hashes) {
  const int64_t width = seq_len_ + 1;
  int64_t sequences = config.eval.tokens / seq_len_;
  if (config.data.val.format == DataFormat::kSynthetic) {
    hashes->push_back(synthetic_->Sha256());
    entropy_rate_ = synthetic_->EntropyRate(seq_len_);
    validation_.resize(static_cast<size_t>(sequences * width));
    for (int64_t i = 0; i < sequences; ++i) {
      synthetic_->Fill(SyntheticSource::Stream::kVal, kValidationSeed, i, width,
                       &validation_[static_cast<size_t>(i * width)]);
    }
    return;
  }
  const auto set = OpenShards(config.data.val, config, data_root, hashes);
  sequences = std::min(sequences, set->windows());
  validation_.resize(static_cast<size_t>(sequences * width));
  for (int64_t i = 0; i < sequences; ++i) {
    set->Read(i, &validation_[static_cast<size_t>(i * width)]);
  }
}

void TrainingData::Fill(int64_t seed, int64_t position, int64_t sequences, int32_t* out) const {
  for (int64_t i = 0; i < sequences; ++i, out += seq_len_ + 1) {
    if (shards_ != nullptr) {
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

}  // namespace loglog
