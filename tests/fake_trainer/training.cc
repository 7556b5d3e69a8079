#include "tests/fake_trainer/training.h"

#include <cmath>
#include <filesystem>
#include <string>

#include "shards/sha256.h"
#include "tests/fake_trainer/checkpoint.h"

namespace loglog {
namespace {

using Json = nlohmann::ordered_json;

// One step of splitmix64: as good a stand-in for training as a test needs.
void Step(Member* member) {
  uint64_t z = member->chain += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  member->chain = z ^ (z >> 31);
}

double Loss(const Member& member, int64_t tokens) {
  const double noise = static_cast<double>(member.chain >> 11) * 0x1p-53 - 0.5;
  return 1 + 30 * std::pow(member.params, -0.3) +
         20 * std::pow(static_cast<double>(tokens), -member.beta) + 0.01 * noise;
}

}  // namespace

void FakeTraining::Start() {
  std::filesystem::create_directories(task_.checkpoint_dir);
  step_ = LoadCheckpoint(&task_);
  WriteStart();
}

int FakeTraining::Advance() {
  if (step_ < task_.step_end) {
    ++step_;
    for (size_t i = 0; i < task_.members.size(); ++i) AdvanceMember(i);
    if (AllDiverged()) return kExitDiverged;
    const bool due = task_.checkpoint_every > 0 && step_ % task_.checkpoint_every == 0;
    if (due || step_ == task_.step_end) WriteCheckpoint();
  }
  if (step_ < task_.step_end) return -1;
  for (size_t i = 0; i < task_.members.size(); ++i) {
    if (!diverged_[i]) WriteEnd(i, "done");
  }
  log_->Sync();
  return kExitDone;
}

bool FakeTraining::AllDiverged() const {
  for (const bool diverged : diverged_) {
    if (!diverged) return false;
  }
  return true;
}

void FakeTraining::AdvanceMember(size_t i) {
  if (diverged_[i]) return;
  Step(&task_.members[i]);
  const double loss = Loss(task_.members[i], step_ * task_.batch_tokens);
  if (i == 0 && diverge_at_ >= 0 && step_ >= diverge_at_) {
    WriteRow(i, {{"loss/train", "nan"}});
    WriteEnd(i, "diverged");
    diverged_[i] = true;
    return;
  }
  const bool eval = step_ % task_.eval_every == 0 || step_ == task_.step_end;
  if (!eval && step_ % task_.row_every != 0) return;
  Json values = {{"loss/train", loss}, {"norm/grad", 1 / loss}};
  if (eval) values["loss/val"] = loss;
  WriteRow(i, values);
}

void FakeTraining::WriteStart() {
  log_->Line({{"e", "start"},
              {"attempt_id", task_.attempt_id},
              {"resume_step", step_},
              {"total_steps", task_.step_end},
              {"trainer_version", "fake"},
              {"data_sha256", Sha256Hex("fake data")},
              {"params_total", static_cast<int64_t>(task_.members[0].params)},
              {"params_non_embedding", static_cast<int64_t>(task_.members[0].params)},
              {"flops_per_token", 6 * task_.members[0].params}});
}

void FakeTraining::WriteRow(size_t member, const Json& values) {
  log_->Line({{"e", "row"},
              {"member", member},
              {"step", step_},
              {"tokens", step_ * task_.batch_tokens},
              {"values", values}});
}

void FakeTraining::WriteCheckpoint() {
  log_->Sync();
  const CheckpointInfo saved = SaveCheckpoint(task_, step_);
  log_->Line({{"e", "checkpoint"},
              {"step", saved.step},
              {"path", saved.path},
              {"sha256", saved.sha256},
              {"bytes", saved.bytes}});
}

void FakeTraining::WriteEnd(size_t member, const char* outcome) {
  const double loss = Loss(task_.members[member], step_ * task_.batch_tokens);
  Json line = {{"e", "end"},
               {"member", member},
               {"outcome", outcome},
               {"step", step_},
               {"tokens", step_ * task_.batch_tokens},
               {"final_loss", loss},
               {"summary", {{"loss/val", loss}, {"loss/train", loss}}}};
  if (std::string(outcome) == "diverged") {
    line["final_loss"] = "nan";
    line["summary"] = Json::object();
  }
  log_->Line(line);
}

}  // namespace loglog
