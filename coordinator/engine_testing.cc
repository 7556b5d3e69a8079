#include "coordinator/engine_testing.h"

#include <spdlog/spdlog.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "nlohmann/json.hpp"
#include "store/check.h"

namespace loglog {

ScratchFolder::ScratchFolder() {
  const char* const base = std::getenv("TMPDIR");
  std::string pattern = absl::StrCat(base == nullptr ? "/tmp" : base, "/loglog-test-XXXXXX");
  path_ = mkdtemp(pattern.data());
}

ScratchFolder::~ScratchFolder() { RemoveTree(path_).IgnoreError(); }

std::string TinySpec(const std::string& name, int budgets, int seeds, const std::string& more) {
  std::vector<int> tokens;
  for (int i = 1; i <= budgets; ++i) tokens.push_back(640 * i);
  std::vector<int> all_seeds;
  for (int i = 0; i < seeds; ++i) all_seeds.push_back(i);
  return absl::StrCat(
      "apiVersion: loglog/v1\nname: ", name,
      "\nmodel: {layers: 1, d_model: 16, heads: 2, kv_heads: 2, d_ff: 32, vocab: 64, seq_len: 16}"
      "\ndata: {train: {format: synthetic}, val: {format: synthetic}, synthetic: {contexts: 32, "
      "branching: 4}}"
      "\ntrain: {batch_tokens: 64}"
      "\naxes:"
      "\n  D: {path: train.tokens, values: [",
      absl::StrJoin(tokens, ", "), "]}\n  seed: {path: seed, values: [",
      absl::StrJoin(all_seeds, ", "),
      "]}\narms:\n  a: {train.lr: 1.0e-3}\n  b: {train.lr: 2.0e-3}\n", more);
}

// ---- the worker

absl::Status FakeWorker::Register(const std::string& boot, const std::vector<int64_t>& held) {
  RegisterRequest request;
  request.worker_id = worker_id_;
  request.boot_id = boot;
  request.version = "test";
  request.host = host;
  request.slots = static_cast<int>(slots_.size());
  request.slots_json = "[]";
  request.labels_json = labels_json;
  request.device = "cpu";
  request.held = held;
  const absl::StatusOr<RegisterAnswer> answer =
      Call<RegisterAnswer>([&](auto reply) { engine_->RegisterWorker(request, reply); });
  if (answer.ok()) epoch_ = answer->session_epoch;
  return answer.status();
}

SyncRequest FakeWorker::Request(int64_t wait_ms) const {
  SyncRequest request;
  request.session_epoch = epoch_;
  request.wait_ms = wait_ms;
  request.report.worker_id = worker_id_;
  request.report.slots = slots_;
  request.report.draining = draining;
  return request;
}

absl::StatusOr<SyncAnswer> FakeWorker::Sync(int64_t wait_ms) {
  return Call<SyncAnswer>([&](auto reply) { engine_->SyncWorker(Request(wait_ms), reply); });
}

absl::StatusOr<SyncAnswer> FakeWorker::SyncAndObey(int64_t wait_ms) {
  absl::StatusOr<SyncAnswer> answer = Sync(wait_ms);
  if (answer.ok()) Obey(*answer);
  return answer;
}

void FakeWorker::Obey(const SyncAnswer& answer) {
  for (const SlotDesire& desire : answer.desire.slots) {
    SlotReport& slot = slots_[desire.slot];
    switch (desire.action) {
      case DesiredAction::kRun:
        orders_[desire.slot] = answer.orders.at(desire.slot);
        for (const int held : orders_[desire.slot].slots) {
          slots_[held].state = SlotState::kRunning;
          slots_[held].attempt_id = desire.attempt_id;
        }
        break;
      case DesiredAction::kStop:
        Finish(desire.slot, OutcomeKind::kStopped);
        break;
      case DesiredAction::kKill:
      case DesiredAction::kForget:
        Reap(desire.slot);
        slot = SlotReport{.slot = desire.slot};
        break;
      case DesiredAction::kNone:
        break;
    }
  }
}

absl::StatusOr<BatchAnswer> FakeWorker::Send(int64_t attempt_id, int64_t first_seq,
                                             std::vector<TrainerEvent> events) {
  BatchRequest request;
  request.worker_id = worker_id_;
  request.session_epoch = epoch_;
  request.batch.attempt_id = attempt_id;
  request.batch.first_seq = first_seq;
  request.batch.metrics = {"loss/train", "loss/val"};
  request.batch.events = std::move(events);
  return Call<BatchAnswer>([&](auto reply) { engine_->StoreBatch(std::move(request), reply); });
}

absl::Status FakeWorker::Train(const TaskOrder& order, double final_loss, bool diverged) {
  const auto task = nlohmann::json::parse(order.task_json);
  const int64_t steps = task["token_end"].get<int64_t>() / 64;
  std::vector<TrainerEvent> events = {StartEvent(order.resume_step)};
  for (int64_t step = order.resume_step + 1; step <= steps; ++step) {
    events.push_back(RowEvent(step, final_loss + 1.0 / static_cast<double>(step)));
  }
  events.push_back(EndEvent(steps, final_loss, diverged));
  return Send(order.attempt_id, 0, std::move(events)).status();
}

void FakeWorker::Reap(int lead) {
  for (int i = 0; i < static_cast<int>(slots_.size()); ++i) {
    if (i != lead && slots_[i].attempt_id == slots_[lead].attempt_id) {
      slots_[i] = SlotReport{.slot = i};
    }
  }
}

void FakeWorker::Finish(int slot, OutcomeKind kind, const std::string& message) {
  Reap(slot);
  slots_[slot].state = SlotState::kFinished;
  const int code = kind == OutcomeKind::kDone ? 0 : kind == OutcomeKind::kDiverged ? 10 : 1;
  slots_[slot].outcome = {kind, code, 0, message};
}

int FakeWorker::WorkOff(const std::function<double(const TaskOrder&)>& final_loss) {
  int attempts = 0;
  while (true) {
    const absl::StatusOr<SyncAnswer> answer = SyncAndObey();
    EXPECT_TRUE(answer.ok()) << answer.status();
    if (!answer.ok()) return attempts;
    bool busy = answer->desire.Anything();
    for (const auto& [slot, order] : orders_) {
      if (slots_[slot].state != SlotState::kRunning ||
          slots_[slot].attempt_id != order.attempt_id) {
        continue;
      }
      busy = true;
      ++attempts;
      const double loss = final_loss(order);
      const bool diverged = std::isnan(loss);
      EXPECT_TRUE(Train(order, diverged ? 9.0 : loss, diverged).ok());
      Finish(slot, diverged ? OutcomeKind::kDiverged : OutcomeKind::kDone);
    }
    if (!busy) return attempts;
  }
}

bool Forgets(const WorkerDesire& desire, int64_t attempt_id) {
  const SlotDesire& slot = desire.slots.at(0);
  return slot.action == DesiredAction::kForget ? slot.attempt_id == attempt_id
                                               : slot.forget_attempt_id == attempt_id;
}

TrainerEvent StartEvent(int64_t resume_step) {
  AttemptStart start;
  start.resume_step = resume_step;
  start.trainer_version = "test";
  start.data_sha256 = "d";
  start.total_steps = 10;
  return start;
}

TrainerEvent RowEvent(int64_t step, double loss, int64_t tokens_per_step) {
  MetricRow row;
  row.step = step;
  row.tokens = step * tokens_per_step;
  row.values = {{0, loss}};
  return row;
}

TrainerEvent CheckpointEvent(int64_t step) {
  return CheckpointCommit{step, absl::StrCat("/ckpt/step-", step), std::string(64, 'c'), 1000};
}

TrainerEvent EndEvent(int64_t step, double final_loss, bool diverged) {
  return MemberEnd{
      0, diverged, step, step * 64, diverged ? kNoNumber : final_loss, "{\"loss/val\":1.0}"};
}

// ---- the engine

EngineWorld::EngineWorld() {
  spdlog::set_level(spdlog::level::off);
  options_.clock = &clock_;
  Open();
}

// Whatever a test did, its store must be sound.
EngineWorld::~EngineWorld() {
  if (engine_ == nullptr) return;
  engine_->Stop();
  const absl::StatusOr<CheckReport> report = CheckStore(folder_ / "store.db");
  EXPECT_TRUE(report.ok()) << report.status();
  if (!report.ok()) return;
  for (const Breach& breach : report->breaches) {
    ADD_FAILURE() << breach.object << " " << breach.what;
  }
}

void EngineWorld::Open() {
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Open(folder_ / "store.db", options_);
  ASSERT_TRUE(engine.ok()) << engine.status();
  engine_ = *std::move(engine);
}

void EngineWorld::Restart() {
  engine_->Stop();
  engine_.reset();
  Open();
}

absl::StatusOr<CreateAnswer> EngineWorld::Submit(const std::string& spec,
                                                 const std::string& request_id) {
  return Call<CreateAnswer>(
      [&](auto reply) { engine_->CreateSweep(spec, request_id, /*validate_only=*/false, reply); });
}

absl::StatusOr<SweepView> EngineWorld::GetSweep(const std::string& name) {
  return Call<SweepView>([&](auto reply) { engine_->GetSweep(name, reply); });
}

absl::StatusOr<TrialView> EngineWorld::GetTrial(const std::string& sweep, int64_t number) {
  return Call<TrialView>([&](auto reply) { engine_->GetTrial(sweep, number, reply); });
}

absl::StatusOr<SweepView> EngineWorld::Change(Engine::SweepVerb verb, const std::string& name,
                                              int64_t revision, const std::string& request_id) {
  return Call<SweepView>(
      [&](auto reply) { engine_->ChangeSweep(verb, name, revision, "", request_id, reply); });
}

std::vector<std::string> EngineWorld::EventKinds(const std::string& sweep) {
  const absl::StatusOr<std::vector<EventRow>> events =
      Call<std::vector<EventRow>>([&](auto reply) { engine_->ListEvents(sweep, 0, 1000, reply); });
  EXPECT_TRUE(events.ok()) << events.status();
  std::vector<std::string> kinds;
  if (events.ok()) {
    for (const EventRow& event : *events) kinds.push_back(event.kind);
  }
  return kinds;
}

std::vector<FitView> EngineWorld::WaitForFits(
    const std::string& sweep, const std::function<bool(const std::vector<FitView>&)>& enough) {
  Mutex mutex;
  CondVar rung;
  int rings = 0;
  const absl::StatusOr<int64_t> bell = engine_->watch_hub()->Add([&](bool) {
    MutexLock lock(mutex);
    ++rings;
    rung.NotifyAll();
  });
  std::vector<FitView> fits;
  while (true) {
    int seen = 0;
    {
      MutexLock lock(mutex);
      seen = rings;
    }
    fits = Call<std::vector<FitView>>([&](auto reply) {
             engine_->ListFits(sweep, reply);
           }).value_or(std::vector<FitView>());
    if (enough(fits)) break;
    MutexLock lock(mutex);
    if (!rung.WaitFor(mutex, 60'000, [&] { return rings != seen; })) {
      ADD_FAILURE() << "no such fits within a minute; there are " << fits.size();
      break;
    }
  }
  engine_->watch_hub()->Remove(*bell);
  engine_->Poke();  // a bell that was ringing has rung
  return fits;
}

}  // namespace loglog
