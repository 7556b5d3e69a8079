// What the training loop keeps about each member beside the engine's state.
#ifndef LOGLOG_TRAINER_MEMBER_STATE_H_
#define LOGLOG_TRAINER_MEMBER_STATE_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "trainer/engine.h"
#include "trainer/generators.h"
#include "trainer/spike.h"
#include "trainer/task.h"

namespace loglog {

struct MemberState {
  SpikeDetector loss_spikes;
  SpikeDetector grad_spikes;
  // The last value of every metric, for the summary at the end.
  std::map<std::string, double> latest;
  int64_t diverged_step = -1;
  // Updates applied until then: a step whose own loss or gradient was not finite has none.
  int64_t diverged_updates = 0;

  // Steps that were skipped as spikes, those right before now, and the decay they would have had.
  int64_t skipped = 0;
  int64_t skipped_in_row = 0;
  double skipped_decay = 0;

  bool diverged() const { return diverged_step >= 0; }

  // Takes finite values into `latest`, but for series: a summary is of numbers one looks at.
  void Keep(const std::vector<NamedValue>& values);

  // What the next step is held against; nothing where no step is skipped, or after ten in a row,
  // which are no outliers any more.
  std::optional<StepLimits> Limits(const TrainConfig& train) const;
  SkipHistory History() const;
  void NoteStep(const TrainConfig& train, int64_t step, bool was_skipped);

  // Accuracies are reported at three checkpoints that are kept apart: the last; the first one
  // that was best on acc/id, the set like what was trained (chosen/acc/*); and,
  // optimistic because it was picked by what it reports, the best on the untrained
  // (best/acc/ood). Takes what `evaluation` says of the latter two into `latest`.
  void ChooseAccuracies(const std::vector<NamedValue>& evaluation);

  nlohmann::ordered_json ToJson() const;
  static MemberState FromJson(const nlohmann::ordered_json& json);
};

// Steps at which the loop does more than train, counted as steps completed. Pure.
class Cadence {
 public:
  explicit Cadence(const Task& task);
  bool Metrics(int64_t step) const;
  // At whole multiples of eval.every of the run, rounded to steps, and at the end.
  bool Evaluation(int64_t step) const;
  // Also before the first step, as the state that training starts from.
  bool Probe(int64_t step) const;
  // Whether a probe gives series of singular values as well, and where there is one for them.
  bool Spectra(int64_t step) const;
  bool Checkpoint(int64_t step) const;

 private:
  std::set<int64_t> checkpoint_at_;
  int64_t run_steps_, end_step_, metrics_every_, probe_every_, checkpoint_every_, spectra_every_;
  double eval_every_;
};

// What an evaluation on a set is reported as: see EvalSet::Report. The first set's loss is
// loss/val.
void AppendEvaluation(const EvalSet& set, bool first, const Evaluation& evaluation,
                      std::vector<NamedValue>* values);

// The lines of events.jsonl.
nlohmann::ordered_json RowLine(int member, int64_t step, int64_t tokens,
                               const std::vector<NamedValue>& values);
nlohmann::ordered_json SpikeLine(int member, int64_t step, const std::string& metric, double value,
                                 const SpikeDetector& before);
nlohmann::ordered_json SkippedLine(int member, int64_t step, const StepResult& result);
// The end of a member that trained to `step`, or diverged before. The summary holds the
// last value of every metric, tau_ema and lr_lambda_integral.
nlohmann::ordered_json EndLine(int member, const MemberConfig& config, const MemberState& state,
                               int64_t step);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_MEMBER_STATE_H_
