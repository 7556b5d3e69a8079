// Users who ask what goes on, and do something about it.
#include "absl/strings/str_cat.h"
#include "tests/sim/reasons.h"
#include "tests/sim/simulation.h"

namespace loglog::sim {
namespace {

// Without a step for so long, a trainer hangs: the slowest step takes 2.5 s, rows come with
// every fifth.
constexpr int64_t kHangMs = 60'000;

}  // namespace

void Simulation::CancelTrial(const std::string& sweep, int64_t number) {
  coordinator_.Ask<TrialView>(
      [this, sweep, number, id = RequestId()](Engine* engine, Engine::Reply<TrialView> reply) {
        engine->EndTrial(Engine::TrialVerb::kCancel, sweep, number, "", id,
                         Noted(id, std::move(reply)));
      },
      [](const absl::StatusOr<TrialView>&) {});
}

void Simulation::StopTrial(const std::string& sweep, int64_t number) {
  coordinator_.Ask<TrialView>(
      [this, sweep, number, id = RequestId()](Engine* engine, Engine::Reply<TrialView> reply) {
        engine->EndTrial(Engine::TrialVerb::kStop, sweep, number, "flat", id,
                         Noted(id, std::move(reply)));
      },
      [](const absl::StatusOr<TrialView>&) {});
}

// The answer is of the moment in which it comes: here the store says the same.
void Simulation::AskWhy(const std::string& sweep, int64_t number) {
  coordinator_.Ask<TrialView>(
      [sweep, number](Engine* engine, Engine::Reply<TrialView> reply) {
        engine->GetTrial(sweep, number, std::move(reply));
      },
      [this, sweep, number](const absl::StatusOr<TrialView>& answer) {
        if (!answer.ok() || answer->row.state != TrialState::kPending) return;
        const std::string& reason = answer->pending_reason;
        if (reason.empty()) {
          return model_.Breach(
              absl::StrCat("trial ", number, " is pending and nobody can say why"));
        }
        const FaultyVfs::Calm calm(&disk_);
        const std::string untrue =
            WhatIsUntrue(store_path_, {.sweep = sweep,
                                       .number = number,
                                       .reason = reason,
                                       .now_wall_ms = coordinator_.wall_ms(),
                                       .was_unhealthy = [this](const std::string& worker_id) {
                                         for (const auto& worker : workers_) {
                                           if (worker->id() == worker_id)
                                             return worker->WasUnhealthy();
                                         }
                                         return false;
                                       }});
        if (untrue.empty()) return;
        model_.Breach(absl::StrCat("sweep ", sweep, ", trial ", number,
                                   " is said to wait because: ", reason, "; but ", untrue));
      });
}

// A trainer that makes no progress keeps its slot until somebody cancels its trial, who then
// asks for it again.
void Simulation::TendHanging() {
  AskSweeps([this](const SweepView& sweep) {
    const std::string name = sweep.row.name;
    coordinator_.Ask<TrialPage>(
        [name](Engine* engine, Engine::Reply<TrialPage> reply) {
          engine->ListTrials(name, /*after_number=*/0, {TrialState::kRunning}, /*limit=*/100,
                             std::move(reply));
        },
        [this, name](const absl::StatusOr<TrialPage>& page) {
          if (!page.ok()) return;
          for (const TrialView& trial : page->trials) {
            Progress& seen = progress_[{name, trial.row.number}];
            if (seen.attempt_id != trial.row.attempt_id || seen.step != trial.row.step) {
              seen = {trial.row.attempt_id, trial.row.step, world_.now_ms()};
            } else if (world_.now_ms() - seen.since_ms >= kHangMs) {
              Count("user: cancels a trial that hangs");
              model_.OnRetried();
              CancelTrial(name, trial.row.number);
            }
          }
        });
  });
}

}  // namespace loglog::sim
