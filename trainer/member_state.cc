#include "trainer/member_state.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "shards/json_integer.h"
#include "trainer/events.h"
#include "trainer/schedule.h"

namespace loglog {

using nlohmann::ordered_json;

ordered_json MemberState::ToJson() const {
  ordered_json values = ordered_json::object();
  for (const auto& [name, value] : latest) values[name] = EventNumber(value);
  ordered_json json = {{"diverged_step", diverged_step},
                       {"diverged_updates", diverged_updates},
                       {"loss_spikes", loss_spikes.ToJson()},
                       {"grad_spikes", grad_spikes.ToJson()},
                       {"latest", values}};
  if (skipped > 0) {
    json["skipped"] = {{"steps", skipped}, {"in_row", skipped_in_row}, {"decay", skipped_decay}};
  }
  return json;
}

MemberState MemberState::FromJson(const ordered_json& json) {
  MemberState state;
  state.diverged_step = IntegerAt(json, "diverged_step");
  // Checkpoints written before it was kept lack it.
  state.diverged_updates =
      json.value("diverged_updates", std::max<int64_t>(0, state.diverged_step - 1));
  state.loss_spikes = SpikeDetector::FromJson(json.at("loss_spikes"));
  state.grad_spikes = SpikeDetector::FromJson(json.at("grad_spikes"));
  for (const auto& [name, value] : json.at("latest").items()) {
    state.latest[name] = NumberFromEvent(value);
  }
  if (const auto skipped = json.find("skipped"); skipped != json.end()) {
    state.skipped = IntegerAt(*skipped, "steps");
    state.skipped_in_row = IntegerAt(*skipped, "in_row");
    state.skipped_decay = skipped->at("decay").get<double>();
  }
  return state;
}

void MemberState::Keep(const std::vector<NamedValue>& values) {
  const auto begins = [](const std::string& name, const char* with) {
    return name.rfind(with, 0) == 0;
  };
  for (const NamedValue& value : values) {
    if (begins(value.name, "cond/spectrum/") || begins(value.name, "cond/embed_spectrum/"))
      continue;
    if (std::isfinite(value.value)) latest[value.name] = value.value;
  }
}

SkipHistory MemberState::History() const {
  return {.loss = loss_spikes.series(),
          .grad_norm = grad_spikes.series(),
          .skipped_in_row = skipped_in_row};
}

std::optional<StepLimits> MemberState::Limits(const TrainConfig& train) const {
  if (!History().HasLimits(train.skip_sd)) return std::nullopt;
  return StepLimits{.loss = loss_spikes.Limit(train.skip_sd),
                    .grad_norm = grad_spikes.Limit(train.skip_sd)};
}

void MemberState::NoteStep(const TrainConfig& train, int64_t step, bool was_skipped) {
  if (!was_skipped) {
    skipped_in_row = 0;
    return;
  }
  ++skipped;
  ++skipped_in_row;
  // As in LrLambdaIntegral, from which it is taken off.
  if (train.decay != DecayMode::kGradient) skipped_decay += DecayRate(train, step);
}

void MemberState::ChooseAccuracies(const std::vector<NamedValue>& evaluation) {
  const auto find = [&](const std::string& name) {
    return std::find_if(evaluation.begin(), evaluation.end(),
                        [&](const NamedValue& value) { return value.name == name; });
  };
  const auto is_better = [&](const std::string& kept, double value) {
    const auto old = latest.find(kept);
    return old == latest.end() || value > old->second;
  };
  if (const auto ood = find("acc/ood"); ood != evaluation.end()) {
    if (is_better("best/acc/ood", ood->value)) latest["best/acc/ood"] = ood->value;
  }
  const auto id = find("acc/id");
  if (id == evaluation.end() || !is_better("chosen/acc/id", id->value)) return;
  for (const NamedValue& value : evaluation) {
    if (value.name.rfind("acc/", 0) == 0) latest["chosen/" + value.name] = value.value;
  }
}

namespace {

// The sequence's answers as greedy decoding would give them: right as a whole exactly when each is
// right after the true ones before it.
void AppendExact(const EvalSet& set, const std::vector<int32_t>& answers,
                 std::vector<NamedValue>* values) {
  size_t next = 0;
  double right = 0, whole = 0, sequences = 0;
  const size_t width = static_cast<size_t>(set.width);
  for (size_t begin = 0; begin < set.tokens.size(); begin += width) {
    bool all = true;
    for (size_t i = begin + 1; i < begin + width; ++i) {
      if (set.tokens[i] < 0) continue;
      const bool same = set.tokens[i] == answers[next++];
      right += same ? 1 : 0;
      all = all && same;
    }
    whole += all ? 1 : 0;
    sequences += 1;
  }
  values->push_back({"acc/" + set.name, whole / sequences});
  values->push_back({"acc_token/" + set.name, right / static_cast<double>(answers.size())});
}

}  // namespace

void AppendEvaluation(const EvalSet& set, bool first, const Evaluation& evaluation,
                      std::vector<NamedValue>* values) {
  using Report = EvalSet::Report;
  const bool with_loss = set.report == Report::kLoss || set.report == Report::kLossAndAccuracy ||
                         set.report == Report::kLossAndExact;
  if (with_loss) {
    const std::string name = first ? "val" : "val/" + set.name;
    values->push_back({"loss/" + name, evaluation.loss});
    // Bits per byte of text.
    if (set.tokens_per_byte > 0) {
      values->push_back({"bpb/" + name, evaluation.loss / std::log(2.0) * set.tokens_per_byte});
    }
  }
  const std::vector<int32_t>& answers = evaluation.answers;
  if (set.report == Report::kLoss || answers.empty()) return;
  if (set.report == Report::kLossAndExact) return AppendExact(set, answers, values);
  double right = 0, asked = 0;
  if (set.report == Report::kAgreement) {
    for (size_t i = 0; i + 1 < answers.size(); i += 2) {
      right += answers[i] == answers[i + 1] ? 1 : 0;
      asked += 1;
    }
  } else {
    for (const int32_t token : set.tokens) {
      if (token < 0) continue;
      right += token == answers[static_cast<size_t>(asked)] ? 1 : 0;
      asked += 1;
    }
  }
  values->push_back({"acc/" + set.name, right / asked});
}

Cadence::Cadence(const Task& task)
    : checkpoint_at_(task.checkpoint_at),
      run_steps_(task.first().train.Steps()),
      end_step_(task.EndStep()),
      metrics_every_(task.first().metrics.every),
      probe_every_(task.first().metrics.probe_every),
      checkpoint_every_(task.checkpoint_every),
      spectra_every_(task.first().metrics.spectra_every),
      eval_every_(task.first().eval.every) {}

bool Cadence::Metrics(int64_t step) const {
  return step == 1 || step == end_step_ || step % metrics_every_ == 0;
}

bool Cadence::Evaluation(int64_t step) const {
  if (step == end_step_) return true;
  const double stride = eval_every_ * static_cast<double>(run_steps_);
  if (step == 0 || stride <= 0) return false;
  // With a stride below one step, every step is a multiple.
  const double k = std::max(1.0, std::round(static_cast<double>(step) / stride));
  return stride <= 1 || std::llround(k * stride) == step;
}

bool Cadence::Probe(int64_t step) const {
  if (step == end_step_ || Spectra(step)) return true;
  return probe_every_ > 0 && step % probe_every_ == 0;
}

bool Cadence::Spectra(int64_t step) const {
  return spectra_every_ > 0 && step % spectra_every_ == 0;
}

bool Cadence::Checkpoint(int64_t step) const {
  if (checkpoint_at_.count(step) > 0) return true;
  if (checkpoint_every_ == 0) return false;
  return step == end_step_ || step % checkpoint_every_ == 0;
}

ordered_json RowLine(int member, int64_t step, int64_t tokens,
                     const std::vector<NamedValue>& values) {
  ordered_json numbers = ordered_json::object();
  for (const NamedValue& value : values) numbers[value.name] = EventNumber(value.value);
  return {
      {"e", "row"}, {"member", member}, {"step", step}, {"tokens", tokens}, {"values", numbers}};
}

ordered_json SpikeLine(int member, int64_t step, const std::string& metric, double value,
                       const SpikeDetector& before) {
  return {{"e", "notice"},
          {"kind", "spike"},
          {"step", step},
          {"detail",
           {{"member", member},
            {"metric", metric},
            {"value", EventNumber(value)},
            {"mean", EventNumber(before.mean())},
            {"sd", EventNumber(before.sd())}}}};
}

ordered_json SkippedLine(int member, int64_t step, const StepResult& result) {
  return {{"e", "notice"},
          {"kind", "skipped_step"},
          {"step", step},
          {"detail",
           {{"member", member},
            {"loss/train", EventNumber(result.loss)},
            {"norm/grad", EventNumber(result.grad_norm)}}}};
}

ordered_json EndLine(int member, const MemberConfig& config, const MemberState& state,
                     int64_t step) {
  const int64_t updates = state.diverged() ? state.diverged_updates : step;
  if (state.diverged()) step = state.diverged_step;
  ordered_json summary = ordered_json::object();
  for (const auto& [name, value] : state.latest) summary[name] = EventNumber(value);
  if (const double tau = TauEma(config.train); std::isfinite(tau)) summary["tau_ema"] = tau;
  summary["lr_lambda_integral"] = LrLambdaIntegral(config.train, updates) - state.skipped_decay;
  const auto loss = state.latest.find("loss/val");
  const double final_loss = state.diverged() || loss == state.latest.end()
                                ? std::numeric_limits<double>::quiet_NaN()
                                : loss->second;
  return {{"e", "end"},
          {"member", member},
          {"outcome", state.diverged() ? "diverged" : "done"},
          {"step", step},
          {"tokens", step * config.train.batch_tokens},
          {"final_loss", EventNumber(final_loss)},
          {"summary", summary}};
}

}  // namespace loglog
