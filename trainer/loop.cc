#include "trainer/loop.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "shards/file_writer.h"
#include "trainer/branch.h"
#include "trainer/checkpoint.h"
#include "trainer/data.h"
#include "trainer/engine.h"
#include "trainer/events.h"
#include "trainer/flops.h"
#include "trainer/footprint.h"
#include "trainer/import_hf.h"
#include "trainer/layout.h"
#include "trainer/member_state.h"
#include "trainer/progress.h"
#include "trainer/replicas.h"

namespace loglog {
namespace {

using nlohmann::ordered_json;

// Of the validation set, what the dear metrics look at: so many sequences, and of short ones more.
constexpr int64_t kProbeSequences = 4;
constexpr int64_t kProbeTokens = 512;

std::string Absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

TrainingData OpenData(const Task& task) {
  // An allocation that exceeds the machine is not refused by Linux: the process is killed
  // later, without a word.
  if (task.device == "cpu") CheckMemory(task.members, UsableMemory() / task.ranks);
  return TrainingData(task.first(), task.data_root);
}

class Loop {
 public:
  Loop(const Task& task, const LoopOptions& options);
  LoopResult Run();

 private:
  void Resume();
  // Drawn or imported weights.
  void StartFresh();
  void WriteStart();
  // Says from where training goes on when it is not from where it was to.
  void NoteFallBack();
  // The last evaluation may be of an earlier step when a checkpoint in the middle of a
  // longer run is the end of this one.
  void EvaluateAtEnd();
  void WriteStepZero();
  // One optimizer step and what its cadence asks for.
  void Step(int64_t step);
  // Notes the steps whose numbers are there; with `all`, waits for those under way. What step
  // done_ measured goes to `rows`, of earlier ones it is written.
  void TakeSteps(bool all, std::vector<std::vector<NamedValue>>* rows);
  void NoteStep(const FinishedStep& finished, std::vector<std::vector<NamedValue>>* rows);
  // Whether what follows step done_ needs the numbers of all steps until then.
  bool NeedsAllSteps() const;
  // Those that are not empty.
  void WriteRow(size_t member, const std::vector<NamedValue>& values, int64_t step);
  void WriteRows(const std::vector<std::vector<NamedValue>>& rows, int64_t step);
  void NoteSpikes(size_t member, const StepResult& result, int64_t step);
  void Evaluate(std::vector<std::vector<NamedValue>>* rows);
  void Probe(std::vector<std::vector<NamedValue>>* rows);
  // `updates` is how many were applied to the member.
  void Diverge(size_t member, int64_t step, int64_t updates);
  // Tells the other ranks, where there are some.
  void Order(const Ordered& ordered);
  void StartCheckpoint();
  void ReportCheckpoint(const std::optional<CommittedCheckpoint>& committed);
  LoopResult Stop();
  LoopResult Finish();

  bool AllDiverged() const;
  bool StopAsked() const { return options_.stop != nullptr && *options_.stop != 0; }
  int64_t TokensAt(int64_t step) const { return step * task_.first().train.batch_tokens; }
  int64_t ProbeSequences() const {
    return std::min(std::max(kProbeSequences, kProbeTokens / task_.first().model.seq_len),
                    data_.validation_sequences());
  }

  const Task task_;
  const LoopOptions options_;
  const Cadence cadence_;
  const TrainingData data_;
  Engine engine_;
  std::vector<MemberState> states_;
  std::vector<std::string> passed_over_;  // checkpoints, and why
  bool branched_ = false;                 // begun at another task's checkpoint
  int64_t done_ = 0;                      // steps started; on a GPU some may be under way
  int64_t noted_ = 0;                     // steps whose numbers are known
  double mean_loss_ = 0;                  // of the last of these
  int64_t checkpointed_step_ = -1;        // the last one handed to the writer
  std::vector<int32_t> batch_;
  std::unique_ptr<EventLog> events_;
  std::unique_ptr<CheckpointWriter> writer_;
  std::unique_ptr<Progress> progress_;
};

Task WithAbsolutePaths(Task task) {
  task.run_dir = Absolute(task.run_dir);
  task.checkpoint_dir = Absolute(task.checkpoint_dir);
  return task;
}

EngineOptions EngineOf(const Task& task, EngineOptions options) {
  options.device = task.device;
  options.threads = task.threads;
  return options;
}

Loop::Loop(const Task& task, const LoopOptions& options)
    : task_(WithAbsolutePaths(task)),
      options_(options),
      cadence_(task_),
      data_(OpenData(task_)),
      engine_(task_.members, EngineOf(task_, options.engine)),
      states_(task_.members.size()) {
  engine_.SetTokenFrequencies(data_.TokenFrequencies(task_.first().model.vocab));
}

CheckpointIdentity Identity(const Task& task, const TrainingData& data,
                            const LoopOptions& options) {
  return {.config_sha256 = ConfigSha256(task.members),
          .data_sha256 = data.sha256(),
          .trainer_version = options.trainer_version};
}

void Loop::Resume() {
  const CheckpointIdentity identity = Identity(task_, data_, options_);
  std::optional<LoadedCheckpoint> loaded;
  if (task_.resume || options_.resume_newest) {
    loaded =
        FindCheckpoint(task_.checkpoint_dir, task_.resume, options_.resume_newest, task_.EndStep(),
                       identity, engine_.state_buffers(), [this](const std::string& text) {
                         std::fprintf(stderr, "%s\n", text.c_str());
                         passed_over_.push_back(text);
                       });
  }
  if (!loaded && task_.branch) {
    branched_ = true;
    loaded = LoadParent(*task_.branch, task_.members, data_.sha256(), engine_.state_buffers());
  }
  if (!loaded) {
    if (task_.BeginStep() > 0) {
      throw ConfigError("token_begin is " + std::to_string(task_.token_begin) +
                        ", and no sound checkpoint of step " + std::to_string(task_.BeginStep()) +
                        " was found to begin from; name it in resume, or set token_begin to 0");
    }
    StartFresh();
    return;
  }
  if (loaded->step < task_.BeginStep()) {
    throw ConfigError(loaded->path + ": is the newest sound checkpoint and lies before " +
                      "token_begin, at step " + std::to_string(task_.BeginStep()) +
                      "; name one from there on in resume, or lower token_begin");
  }
  const char* bytes = loaded->bytes();
  for (size_t i = 0; i < engine_.state_buffers().size(); ++i) {
    engine_.WriteState(i, bytes);
    bytes += engine_.state_buffers()[i].bytes;
  }
  for (size_t i = 0; i < states_.size(); ++i) {
    states_[i] = MemberState::FromJson(loaded->loop.at("members").at(i));
  }
  done_ = noted_ = checkpointed_step_ = loaded->step;
  if (loaded->trainer_version != options_.trainer_version) {
    std::fprintf(stderr,
                 "%s was written by trainer %s and this is %s: the numbers may differ from an "
                 "uninterrupted run in the last digits\n",
                 loaded->path.c_str(), loaded->trainer_version.c_str(),
                 options_.trainer_version.c_str());
  }
}

void Loop::StartFresh() {
  engine_.InitWeights();
  const Layout layout = MakeLayout(task_.first().model);
  std::optional<ImportedWeights> read;  // of many members that start from one file, once
  std::vector<float> row;
  for (size_t i = 0; i < task_.members.size(); ++i) {
    const std::optional<ImportedWeights>& imported = task_.members[i].init.weights;
    if (!imported) continue;
    if (read != imported) row = ImportLlama(*imported, task_.first().model, task_.data_root);
    read = imported;
    std::map<std::string, const float*> tensors;  // by the name of their buffer
    for (const TensorSpec& tensor : layout.tensors) {
      tensors[std::to_string(i) + "/weights/" + tensor.name] = row.data() + tensor.offset;
    }
    for (size_t b = 0; b < engine_.state_buffers().size(); ++b) {
      const auto found = tensors.find(engine_.state_buffers()[b].name);
      if (found != tensors.end()) engine_.WriteState(b, found->second);
    }
  }
}

void Loop::WriteStart() {
  const ParamCount params = CountParams(task_.first().model);
  events_->Write({{"e", "start"},
                  {"attempt_id", task_.attempt_id},
                  {"resume_step", done_},
                  {"total_steps", task_.EndStep()},
                  {"trainer_version", options_.trainer_version},
                  {"data_sha256", data_.sha256()},
                  {"params_total", params.total},
                  {"params_non_embedding", params.non_embedding},
                  {"flops_per_token", TrainFlopsPerToken(task_.first().model)}});
  std::string text =
      std::to_string(task_.members.size()) + (task_.members.size() == 1 ? " member" : " members") +
      " of " + std::to_string(params.total) + " parameters, " + std::to_string(task_.EndStep()) +
      " steps of " + std::to_string(task_.first().train.batch_tokens) + " tokens, " + task_.device;
  if (task_.ranks > 1) text += ", " + std::to_string(task_.ranks) + " ranks";
  if (done_ > 0) text += ", resumed at step " + std::to_string(done_);
  if (const auto epoch = data_.epoch_sequences()) {
    char epochs[48];
    std::snprintf(epochs, sizeof epochs, ", %.2f epochs",
                  static_cast<double>(task_.token_end) /
                      static_cast<double>(*epoch * task_.first().model.seq_len));
    text += epochs;
  }
  progress_->Note(text);
}

void Loop::NoteFallBack() {
  if (passed_over_.empty()) return;
  ordered_json detail = {{"resumed_step", done_}, {"passed_over", passed_over_}};
  if (task_.resume) detail["wanted_step"] = task_.resume->step;
  events_->Write(
      {{"e", "notice"}, {"kind", "resume_fallback"}, {"step", done_}, {"detail", detail}});
  progress_->Note(done_ == 0
                      ? "no sound checkpoint to resume from: starting at step 0"
                      : "resuming from an older checkpoint, of step " + std::to_string(done_));
}

void Loop::EvaluateAtEnd() {
  std::vector<std::vector<NamedValue>> rows(states_.size());
  Evaluate(&rows);
  for (size_t i = 0; i < states_.size(); ++i) {
    states_[i].Keep(rows[i]);
    if (!states_[i].diverged() && !engine_.active(static_cast<int>(i))) Diverge(i, done_, done_);
  }
}

void Loop::WriteStepZero() {
  std::vector<std::vector<NamedValue>> rows(states_.size());
  for (size_t i = 0; i < states_.size(); ++i) {
    rows[i] = engine_.InitMetrics(static_cast<int>(i));
    if (const auto entropy = data_.entropy_rate()) {
      rows[i].push_back({"data/entropy_rate", *entropy});
    }
    if (const auto floor = data_.validation_floor()) {
      rows[i].push_back({"data/val_floor", *floor});
    }
    rows[i].push_back({"data/val_tokens", static_cast<double>(data_.validation_sequences() *
                                                              task_.first().model.seq_len)});
  }
  if (cadence_.Probe(0)) Probe(&rows);
  WriteRows(rows, 0);
}

void Loop::Step(int64_t step) {
  std::vector<std::optional<StepLimits>> limits;
  for (size_t i = 0; i < states_.size() && !engine_.MakesLimits(); ++i) {
    limits.push_back(states_[i].Limits(task_.members[i].train));
  }
  Order({RankOrder::kStep, limits});
  FillBatch(task_.members, data_, step, &batch_);
  engine_.StartStep(batch_.data(), step, cadence_.Metrics(step + 1), limits);
  done_ = step + 1;
  std::vector<std::vector<NamedValue>> rows(states_.size());
  TakeSteps(NeedsAllSteps(), &rows);
  if (cadence_.Evaluation(done_)) Evaluate(&rows);
  if (cadence_.Probe(done_)) Probe(&rows);
  for (size_t i = 0; i < states_.size(); ++i) {
    WriteRow(i, rows[i], done_);
    if (!states_[i].diverged() && !engine_.active(static_cast<int>(i))) Diverge(i, done_, done_);
  }
  progress_->Update(noted_, mean_loss_);
}

bool Loop::NeedsAllSteps() const {
  const bool skips = std::any_of(task_.members.begin(), task_.members.end(),
                                 [](const MemberConfig& m) { return m.train.skip_sd > 0; });
  return (skips && !engine_.MakesLimits()) || cadence_.Evaluation(done_) || cadence_.Probe(done_) ||
         cadence_.Checkpoint(done_) || done_ == task_.EndStep();
}

void Loop::TakeSteps(bool all, std::vector<std::vector<NamedValue>>* rows) {
  while (const std::optional<FinishedStep> finished = engine_.TakeStep(all)) {
    std::vector<std::vector<NamedValue>> own(states_.size());
    NoteStep(*finished, &own);
    if (noted_ == done_) {
      *rows = std::move(own);
    } else {
      WriteRows(own, noted_);
    }
  }
}

void Loop::NoteStep(const FinishedStep& finished, std::vector<std::vector<NamedValue>>* rows) {
  noted_ = finished.step + 1;
  double loss = 0, active = 0;
  for (size_t i = 0; i < states_.size(); ++i) {
    const StepResult& result = finished.results[i];
    const TrainConfig& train = task_.members[i].train;
    if (result.inactive) continue;
    states_[i].NoteStep(train, finished.step, result.skipped);
    if (result.skipped) {
      events_->Write(SkippedLine(static_cast<int>(i), noted_, result));
      if (result.finite) NoteSpikes(i, result, noted_);
      continue;
    }
    if (!result.finite) {
      WriteRow(i, {{"loss/train", result.loss}, {"norm/grad", result.grad_norm}}, noted_);
      Diverge(i, noted_, noted_ - 1);
      continue;
    }
    NoteSpikes(i, result, noted_);
    if (!finished.metrics.empty()) {
      (*rows)[i] = finished.metrics[i];
      if (train.skip_sd > 0) {
        (*rows)[i].push_back({"train/skipped", static_cast<double>(states_[i].skipped)});
      }
    }
    loss += result.loss;
    active += 1;
  }
  mean_loss_ = active > 0 ? loss / active : std::nan("");
}

void Loop::NoteSpikes(size_t member, const StepResult& result, int64_t step) {
  const auto look = [&](SpikeDetector& detector, const char* metric, double value) {
    const SpikeDetector before = detector;
    if (detector.Add(value)) {
      events_->Write(SpikeLine(static_cast<int>(member), step, metric, value, before));
    }
  };
  look(states_[member].loss_spikes, "loss/train", result.loss);
  look(states_[member].grad_spikes, "norm/grad", result.grad_norm);
}

void Loop::Evaluate(std::vector<std::vector<NamedValue>>* rows) {
  for (const EvalSet& set : data_.eval_sets()) {
    const std::vector<Evaluation> evaluations = engine_.Evaluate(
        set.tokens.data(), data_.Sequences(set), set.report != EvalSet::Report::kLoss);
    const bool validation = &set == &data_.eval_sets()[0];
    for (size_t i = 0; i < states_.size(); ++i) {
      if (states_[i].diverged()) continue;
      AppendEvaluation(set, validation, evaluations[i], &(*rows)[i]);
      // Finite on its batch and not on the validation set: diverged all the same.
      if (!std::isfinite(evaluations[i].loss)) engine_.Deactivate(static_cast<int>(i));
    }
  }
  for (size_t i = 0; i < states_.size(); ++i) states_[i].ChooseAccuracies((*rows)[i]);
}

void Loop::Probe(std::vector<std::vector<NamedValue>>* rows) {
  for (size_t i = 0; i < states_.size(); ++i) {
    if (!engine_.active(static_cast<int>(i))) continue;
    const std::vector<NamedValue> values = engine_.Probe(
        static_cast<int>(i), data_.validation().data(), ProbeSequences(), cadence_.Spectra(done_));
    (*rows)[i].insert((*rows)[i].end(), values.begin(), values.end());
  }
}

void Loop::WriteRow(size_t member, const std::vector<NamedValue>& values, int64_t step) {
  if (values.empty()) return;
  states_[member].Keep(values);
  events_->Write(RowLine(static_cast<int>(member), step, TokensAt(step), values));
}

void Loop::WriteRows(const std::vector<std::vector<NamedValue>>& rows, int64_t step) {
  for (size_t i = 0; i < states_.size(); ++i) WriteRow(i, rows[i], step);
}

void Loop::Diverge(size_t member, int64_t step, int64_t updates) {
  states_[member].diverged_step = step;
  states_[member].diverged_updates = updates;
  events_->Write(EndLine(static_cast<int>(member), task_.members[member], states_[member], step));
  progress_->Note("member " + std::to_string(member) + " diverged at step " + std::to_string(step) +
                  ": loss or gradient is not finite");
}

bool Loop::AllDiverged() const {
  return std::all_of(states_.begin(), states_.end(),
                     [](const MemberState& state) { return state.diverged(); });
}

void Loop::Order(const Ordered& ordered) {
  if (options_.engine.ranks == nullptr) return;
  GiveOrder(engine_, *options_.engine.ranks, ordered);
  if (ordered.order == RankOrder::kCheck) CheckReplicas(engine_, *options_.engine.ranks, done_);
}

void Loop::StartCheckpoint() {
  if (done_ == checkpointed_step_) return;
  Order({RankOrder::kCheck, {}});
  ReportCheckpoint(writer_->Wait());
  Snapshot snapshot{.step = done_,
                    .identity = Identity(task_, data_, options_),
                    .buffers = engine_.state_buffers()};
  size_t bytes = 0;
  for (const StateBuffer& buffer : snapshot.buffers) bytes += static_cast<size_t>(buffer.bytes);
  snapshot.bytes.resize(bytes);
  char* to = snapshot.bytes.data();
  for (size_t i = 0; i < snapshot.buffers.size(); ++i) {
    engine_.ReadState(i, to);
    to += snapshot.buffers[i].bytes;
  }
  ordered_json members = ordered_json::array();
  for (const MemberState& state : states_) members.push_back(state.ToJson());
  snapshot.loop = {{"step", done_},
                   {"tokens", TokensAt(done_)},
                   {"members", members},
                   {"configs", ConfigsJson(task_.members)}};
  checkpointed_step_ = done_;
  writer_->Start(std::move(snapshot));
}

void Loop::ReportCheckpoint(const std::optional<CommittedCheckpoint>& committed) {
  if (!committed) return;
  events_->Write({{"e", "checkpoint"},
                  {"step", committed->step},
                  {"path", committed->path},
                  {"sha256", committed->sha256},
                  {"bytes", committed->bytes}});
  writer_->StartPruning(committed->step);
}

LoopResult Loop::Stop() {
  std::vector<std::vector<NamedValue>> rows(states_.size());
  TakeSteps(/*all=*/true, &rows);
  WriteRows(rows, done_);
  std::string without;
  try {
    if (done_ > 0) StartCheckpoint();
    ReportCheckpoint(writer_->Wait());
    writer_->FinishPruning();
  } catch (const FileError& error) {
    // The stop is kept all the same: who asked waits for it, and the older checkpoint serves.
    if (!IsStorageFailure(error.error())) throw;
    without = error.what();
  }
  events_->Sync();
  const std::string stopped = "stopped at step " + std::to_string(done_) + " as asked, ";
  if (!without.empty()) {
    progress_->Note(stopped + "without a checkpoint of it: " + without);
  } else if (done_ == 0) {
    progress_->Note("stopped as asked before the first step");
  } else {
    progress_->Note(stopped + "with a checkpoint; continue with --resume");
  }
  return LoopResult::kStopped;
}

LoopResult Loop::Finish() {
  const bool all_diverged = AllDiverged();
  if (!all_diverged && cadence_.Checkpoint(done_)) StartCheckpoint();
  ReportCheckpoint(writer_->Wait());
  writer_->FinishPruning();
  std::string losses;
  for (size_t i = 0; i < states_.size(); ++i) {
    if (states_[i].diverged()) continue;
    events_->Write(EndLine(static_cast<int>(i), task_.members[i], states_[i], done_));
    char text[32];
    std::snprintf(text, sizeof text, " %.4f", states_[i].latest.at("loss/val"));
    losses += text;
  }
  events_->Sync();
  if (!all_diverged) {
    progress_->Note("done: " + std::to_string(done_) + " steps, loss/val" + losses);
  }
  return all_diverged ? LoopResult::kAllDiverged : LoopResult::kDone;
}

LoopResult Loop::Run() {
  MakeDirectories(task_.run_dir);
  MakeDirectories(task_.checkpoint_dir);
  RemoveUnfinished(task_.checkpoint_dir);
  Resume();
  if (engine_.MakesLimits()) {
    std::vector<SkipHistory> histories;
    for (const MemberState& state : states_) histories.push_back(state.History());
    engine_.SetHistories(histories);
  }
  if (options_.engine.ranks != nullptr) ShareState(engine_, *options_.engine.ranks, done_);
  events_ = std::make_unique<EventLog>(
      task_.run_dir, done_ > 0 && !branched_ ? EventLog::Mode::kContinue : EventLog::Mode::kFresh,
      options_.bell_fd);
  writer_ = std::make_unique<CheckpointWriter>(
      CheckpointOptions{.dir = task_.checkpoint_dir,
                        .keep = task_.checkpoint_keep,
                        .kept_steps = task_.checkpoint_at,
                        .sync_events = [this] { events_->Sync(); }});
  progress_ = std::make_unique<Progress>(
      done_, task_.EndStep(),
      task_.first().train.batch_tokens * static_cast<int64_t>(task_.members.size()));
  WriteStart();
  NoteFallBack();
  if (done_ == 0) WriteStepZero();
  for (size_t i = 0; i < states_.size(); ++i) {
    // A member that had diverged before the checkpoint ends in this attempt too.
    if (!states_[i].diverged()) continue;
    events_->Write(EndLine(static_cast<int>(i), task_.members[i], states_[i], done_));
  }
  if (done_ == task_.EndStep()) EvaluateAtEnd();
  while (done_ < task_.EndStep() && !AllDiverged()) {
    if (StopAsked()) {
      const LoopResult result = Stop();
      Order({RankOrder::kLeave, {}});
      return result;
    }
    Step(done_);
    if (cadence_.Checkpoint(done_) && done_ < task_.EndStep() && !AllDiverged()) StartCheckpoint();
    ReportCheckpoint(writer_->Poll());
  }
  const LoopResult result = Finish();
  Order({RankOrder::kLeave, {}});
  return result;
}

}  // namespace

LoopResult TrainTask(const Task& task, const LoopOptions& options) {
  return Loop(task, options).Run();
}

}  // namespace loglog
