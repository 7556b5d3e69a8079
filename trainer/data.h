// The tokens that a task trains and validates on.
#ifndef LOGLOG_TRAINER_DATA_H_
#define LOGLOG_TRAINER_DATA_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shards/synthetic.h"
#include "shards/window_order.h"
#include "trainer/config.h"
#include "trainer/domains.h"
#include "trainer/generators.h"

namespace loglog {

// Sequences are [seq_len + 1] tokens. What a training batch holds is a pure function of
// the data, the seed and the position, so a resumed run needs no cursor. The validation
// set is the same for every trial that shares data, seq_len and eval.tokens.
//
// Immutable after construction; thread-safe.
class TrainingData {
 public:
  // Opens and checks the shards; `data_root` is where relative globs begin. Throws
  // ShardError, or DataUnavailable, naming the file and the fix.
  TrainingData(const MemberConfig& config, const std::string& data_root);

  // Writes `sequences` sequences, those at places position, position + 1, ... of the
  // stream of `seed`.
  void Fill(int64_t seed, int64_t position, int64_t sequences, int32_t* out) const;

  // What to evaluate on; the first is the validation set.
  const std::vector<EvalSet>& eval_sets() const { return eval_sets_; }
  int64_t Sequences(const EvalSet& set) const {
    return static_cast<int64_t>(set.tokens.size()) / (seq_len_ + 1);
  }
  const std::vector<int32_t>& validation() const { return eval_sets_[0].tokens; }
  int64_t validation_sequences() const { return Sequences(eval_sets_[0]); }
  // The share of each token id in validation().
  std::vector<double> TokenFrequencies(int64_t vocab) const;
  // Training sequences in one epoch; nothing for a source without end or with several domains.
  std::optional<int64_t> epoch_sequences() const;
  // The loss of a perfect model on the validation set's source, nats per token, where it
  // is known.
  std::optional<double> entropy_rate() const { return entropy_rate_; }
  // The loss of that model on the very sequences of validation(), nats per token: below or
  // above the rate by the luck of a finite draw, and what a loss is to be held against.
  std::optional<double> validation_floor() const { return validation_floor_; }
  const std::string& sha256() const { return sha256_; }

 private:
  void Load(const MemberConfig& config, const std::string& data_root);
  void DrawValidation(int64_t sequences);
  // Sequences spread evenly over the whole set, appended.
  void Pick(const WindowSet& set, int64_t sequences, std::vector<int32_t>* tokens) const;
  // loss/val over all, in their weights' shares; where there are several, a set for each as well.
  void PickValidation(const std::vector<Domain>& domains,
                      const std::vector<std::unique_ptr<WindowSet>>& sets,
                      const std::vector<double>& tokens_per_byte, int64_t sequences);

  int64_t seq_len_;
  std::unique_ptr<SyntheticSource> synthetic_;
  std::vector<std::unique_ptr<WindowSet>> shards_;  // of the training set, by domain
  std::optional<DomainMix> mix_;                    // where there are several
  std::unique_ptr<Generator> generator_;
  std::vector<EvalSet> eval_sets_;
  std::optional<double> entropy_rate_;
  std::optional<double> validation_floor_;
  std::string sha256_;
};

// The batch of step `step` (from 0) of all members, as Engine::TrainStep takes it.
void FillBatch(const std::vector<MemberConfig>& members, const TrainingData& data, int64_t step,
               std::vector<int32_t>* batch);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_DATA_H_
