// loglog-fake-trainer TASK.JSON: speaks the trainer's contract without training. Its
// losses follow a planted law L = 1 + 30 N^-0.3 + 20 D^-beta with noise that depends on
// the configuration, the seed and every step before; so a resume from the wrong state
// shows in the numbers.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>

#include "shards/sha256.h"
#include "tests/fake_trainer/checkpoint.h"
#include "tests/fake_trainer/event_log.h"
#include "tests/fake_trainer/misbehaviour.h"
#include "tests/fake_trainer/task.h"

namespace loglog {
namespace {

using Json = nlohmann::ordered_json;

// The signal first, then the look at the parent: in the other order a parent that dies
// in between would go unnoticed.
void DieWithParent() {
  const char* parent = std::getenv("LOGLOG_PARENT_PID");
  if (parent == nullptr) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != std::atoi(parent)) std::_Exit(1);
}

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

class FakeTraining {
 public:
  FakeTraining(Task task, const Misbehaviour& misbehaviour)
      : task_(std::move(task)),
        misbehaviour_(misbehaviour),
        log_(task_.run_dir + "/events.jsonl"),
        diverged_(task_.members.size()) {}

  int Train() {
    misbehaviour_.Start();
    std::filesystem::create_directories(task_.checkpoint_dir);
    int64_t step = LoadCheckpoint(&task_);
    WriteStart(step);
    while (step < task_.step_end) {
      if (stop_requested != 0) {
        WriteCheckpoint(step);
        return kExitAskedToStop;
      }
      ++step;
      misbehaviour_.AtStep(step, &log_);
      for (size_t i = 0; i < task_.members.size(); ++i) AdvanceMember(i, step);
      if (AllDiverged()) return kExitDiverged;
      const bool due = task_.checkpoint_every > 0 && step % task_.checkpoint_every == 0;
      if (due || step == task_.step_end) WriteCheckpoint(step);
    }
    for (size_t i = 0; i < task_.members.size(); ++i) {
      if (!diverged_[i]) WriteEnd(i, step, "done");
    }
    log_.Sync();
    return kExitDone;
  }

 private:
  bool AllDiverged() const {
    for (const bool diverged : diverged_) {
      if (!diverged) return false;
    }
    return true;
  }

  void AdvanceMember(size_t i, int64_t step) {
    if (diverged_[i]) return;
    Step(&task_.members[i]);
    const double loss = Loss(task_.members[i], step * task_.batch_tokens);
    if (i == 0 && misbehaviour_.diverge_at >= 0 && step >= misbehaviour_.diverge_at) {
      WriteRow(i, step, {{"loss/train", "nan"}});
      WriteEnd(i, step, "diverged");
      diverged_[i] = true;
      return;
    }
    const bool eval = step % task_.eval_every == 0 || step == task_.step_end;
    if (!eval && step % task_.row_every != 0) return;
    Json values = {{"loss/train", loss}, {"norm/grad", 1 / loss}};
    if (eval) values["loss/val"] = loss;
    WriteRow(i, step, values);
  }

  void WriteStart(int64_t resume_step) {
    log_.Line({{"e", "start"},
               {"attempt_id", task_.attempt_id},
               {"resume_step", resume_step},
               {"total_steps", task_.step_end},
               {"trainer_version", "fake"},
               {"data_sha256", Sha256Hex("fake data")},
               {"params_total", static_cast<int64_t>(task_.members[0].params)},
               {"params_non_embedding", static_cast<int64_t>(task_.members[0].params)},
               {"flops_per_token", 6 * task_.members[0].params}});
  }

  void WriteRow(size_t member, int64_t step, const Json& values) {
    log_.Line({{"e", "row"},
               {"member", member},
               {"step", step},
               {"tokens", step * task_.batch_tokens},
               {"values", values}});
  }

  void WriteCheckpoint(int64_t step) {
    log_.Sync();
    const CheckpointInfo saved = SaveCheckpoint(task_, step);
    log_.Line({{"e", "checkpoint"},
               {"step", saved.step},
               {"path", saved.path},
               {"sha256", saved.sha256},
               {"bytes", saved.bytes}});
  }

  void WriteEnd(size_t member, int64_t step, const char* outcome) {
    const double loss = Loss(task_.members[member], step * task_.batch_tokens);
    Json line = {{"e", "end"},
                 {"member", member},
                 {"outcome", outcome},
                 {"step", step},
                 {"tokens", step * task_.batch_tokens},
                 {"final_loss", loss},
                 {"summary", {{"loss/val", loss}, {"loss/train", loss}}}};
    if (std::string(outcome) == "diverged") {
      line["final_loss"] = "nan";
      line["summary"] = Json::object();
    }
    log_.Line(line);
  }

  Task task_;
  const Misbehaviour misbehaviour_;
  EventLog log_;
  std::vector<bool> diverged_;
};

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) {
  loglog::DieWithParent();
  if (argc != 2) {
    std::fprintf(stderr, "usage: loglog-fake-trainer TASK.JSON\n");
    return 2;
  }
  loglog::Task task;
  try {
    task = loglog::ReadTask(argv[1]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return loglog::kExitRefused;
  }
  try {
    const auto misbehaviour = loglog::Misbehaviour::FromEnvironment(task.members.at(0).seed);
    return loglog::FakeTraining(std::move(task), misbehaviour).Train();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 1;
  }
}
