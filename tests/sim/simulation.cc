#include "tests/sim/simulation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/failpoint.h"
#include "tests/sim/worker_crash.h"

namespace loglog::sim {
namespace {

// Once nothing goes wrong any more, all is done in this much simulated time, though some
// sweeps let only one trial run at one time.
constexpr int64_t kProgressMs = 40 * 60'000;
constexpr int64_t kLookMs = 2'500;
constexpr int64_t kTendMs = 5'000;
// A lease and its margins, as the coordinator of the simulation has them, and some more.
constexpr int64_t kLeaseOverMs = 30'000;

// One trial in seven: from a step of its own on.
int64_t DivergeAt(const Task& task) {
  const uint64_t chain = task.members.at(0).chain;
  return chain % 7 == 0 ? static_cast<int64_t>(2 + chain / 7 % 8) : -1;
}

}  // namespace

Simulation::Simulation(const Options& options)
    : options_(options),
      store_path_(options.dir + "/store.db"),
      world_(options.seed * 2 + (options.faults ? 1 : 0)),
      workload_(WorkloadOf(options.seed)),
      disk_(options.seed),
      coordinator_({.world = &world_,
                    .disk = &disk_,
                    .store_path = store_path_,
                    .clock_rate = options.faults ? 0.999 + 0.002 * world_.Uniform() : 1,
                    .on_up = [this] { Look(); },
                    .on_down = [this] { network_.ServerDied(); }}),
      network_(&world_, &coordinator_) {
  world_.SetVerbose(options.verbose);
  SetFailpointHandler([this](const char* name) { OnFailpoint(name); });
}

Simulation::~Simulation() { SetFailpointHandler(nullptr); }

// ---- what there is

void Simulation::MakeWorkers() {
  const int64_t count = options_.faults ? world_.Between(1, 4) : 2;
  for (int64_t i = 0; i < count; ++i) {
    Worker::Options worker;
    worker.world = &world_;
    worker.network = &network_;
    worker.index = static_cast<int>(i);
    const int64_t slots_min = i == 0 ? 2 : 1;
    worker.slots = static_cast<int>(options_.faults ? world_.Between(slots_min, 3) : 2);
    // The first is always in zone a; others may come back in another one.
    worker.labels = [this, i]() -> std::map<std::string, std::string> {
      return {{"index", absl::StrCat(i)}, {"zone", i == 0 || world_.Chance(0.5) ? "a" : "b"}};
    };
    worker.root = absl::StrCat(options_.dir, "/w", i);
    if (options_.faults) {
      worker.clock_rate = 0.999 + 0.002 * world_.Uniform();
      worker.wall_offset_ms = world_.Between(-3'600'000, 3'600'000);
    }
    worker.diverge_at = DivergeAt;
    worker.misfortune = [this, i] { return MakeMisfortune(static_cast<int>(i)); };
    worker.start_fails = [this] {
      const bool fails = faulty() && world_.Chance(0.02);
      if (fails) Count("trainer: does not start");
      return fails;
    };
    worker.on_start = [this](const Worker& where, const Process& started) {
      OnStart(where, started);
    };
    worker.on_crowded = [this](const Worker& where) {
      model_.Breach(absl::StrCat(where.id(), " starts a trainer, but none of its ", where.slots(),
                                 " slots is free: the old ones still live"));
    };
    worker.on_idle_untrue = [this](const Worker& where) {
      model_.Breach(absl::StrCat(where.id(), " says that a slot is idle whose trainer lives"));
    };
    worker.on_acknowledged = [this](int64_t attempt_id, int64_t last_seq) {
      model_.OnAcknowledged(attempt_id, last_seq);
    };
    worker.on_booted = [this](const Worker& where, const std::string& boot, int64_t epoch,
                              const std::set<int64_t>& held) {
      model_.OnBooted(where.id(), boot, epoch, held);
    };
    worker.on_forgotten = [this](int64_t attempt_id) { model_.OnForgotten(attempt_id); };
    worker.on_refused = [this](const std::string& why) {
      model_.Breach("events of an honest worker are refused: " + why);
    };
    workers_.push_back(std::make_unique<Worker>(std::move(worker)));
  }
}

// ---- what the model is told

void Simulation::OnStart(const Worker& worker, const Process& started) {
  for (const auto& other : workers_) {
    for (const std::shared_ptr<Process>& process : other->processes()) {
      if (process.get() == &started || !process->alive() ||
          process->task_id() != started.task_id()) {
        continue;
      }
      // Only who could not look at the clock may have let a lease run out unseen; and a
      // process may outlive its daemon by a moment.
      if (other->SleptWithin(kLeaseOverMs) || worker.SleptWithin(kLeaseOverMs) ||
          !other->running()) {
        continue;
      }
      model_.Breach(absl::StrCat("task ", started.task_id(), " runs twice: attempt ",
                                 process->attempt_id(), " on ", other->id(), " still lives, ",
                                 started.attempt_id(), " starts on ", worker.id()));
    }
  }
}

void Simulation::Look() {
  if (coordinator_.down() || disk_.dead()) return;
  const FaultyVfs::Calm calm(&disk_);
  model_.LookAtStore(store_path_);
  for (const int64_t attempt_id : Model::CalledLost(store_path_)) {
    for (const auto& worker : workers_) {
      if (!worker->RunsUnderLease(attempt_id)) continue;
      model_.Breach(absl::StrCat("attempt ", attempt_id, " is called lost, but its lease on ",
                                 worker->id(), " is not over"));
    }
  }
}

void Simulation::OnFailpoint(const char* name) {
  Count(absl::StrCat("at ", name));
  if (absl::string_view(name) == "engine.reload") model_.OnReload();
  if (crash_at_.erase(name) == 0) return;
  Count(absl::StrCat("crash at ", name));
  if (absl::StartsWith(name, "worker.")) throw WorkerCrash();
  disk_.Die();  // the rest of what the process does is lost on the world
}

// ---- what users do

std::string Simulation::RequestId() { return absl::StrCat("request-", ++requests_); }

void Simulation::Submit(const std::string& spec) {
  ++submits_open_;
  coordinator_.Ask<CreateAnswer>(
      [this, spec, id = RequestId()](Engine* engine, Engine::Reply<CreateAnswer> reply) {
        engine->CreateSweep(spec, id, /*validate_only=*/false, Noted(id, std::move(reply)));
      },
      [this](const absl::StatusOr<CreateAnswer>& answer) {
        --submits_open_;
        if (!answer.ok()) {
          return model_.Breach(absl::StrCat("a submit was refused: ", answer.status().ToString()));
        }
        sweeps_.insert(answer->sweep.row.name);
        model_.OnSubmitted(answer->sweep.row.name);
      });
}

void Simulation::Steer(Engine::SweepVerb verb, const std::string& sweep) {
  coordinator_.Ask<SweepView>(
      [this, verb, sweep, id = RequestId()](Engine* engine, Engine::Reply<SweepView> reply) {
        engine->ChangeSweep(verb, sweep, /*revision=*/0, "", id, Noted(id, std::move(reply)));
      },
      [](const absl::StatusOr<SweepView>&) {});
}

void Simulation::PlanDeeds() {
  int64_t at_ms = 0;
  for (const std::string& spec : specs_) {
    ++submits_open_;
    world_.After(at_ms, [this, spec] {
      --submits_open_;
      Submit(spec);
    });
    at_ms += world_.About(15'000);
  }
  if (!options_.faults) return;
  const auto any_sweep = [this] {
    return sweeps_.empty() ? std::string("s0")
                           : *std::next(sweeps_.begin(), world_.Between(0, sweeps_.size() - 1));
  };
  Often("user: submits again", 60'000,
        [this] { Submit(specs_[world_.Between(0, specs_.size() - 1)]); });
  Often("user: pauses", 60'000, [this, any_sweep] {
    const std::string sweep = any_sweep();
    Steer(Engine::SweepVerb::kPause, sweep);
    world_.After(world_.About(15'000), [this, sweep] { Steer(Engine::SweepVerb::kResume, sweep); });
  });
  Often("user: cancels a sweep", 300'000,
        [this, any_sweep] { Steer(Engine::SweepVerb::kCancel, any_sweep()); });
  Often("user: cancels a trial", 90'000,
        [this, any_sweep] { CancelTrial(any_sweep(), world_.Between(1, 12)); });
  Often("user: stops a trial early", 60'000,
        [this, any_sweep] { StopTrial(any_sweep(), world_.Between(1, 12)); });
  Often("user: retries", 90'000, [this, any_sweep] {
    model_.OnRetried();
    coordinator_.Ask<int64_t>(
        [this, sweep = any_sweep(), id = RequestId()](Engine* engine,
                                                      Engine::Reply<int64_t> reply) {
          engine->RetryTrials(sweep, {}, {.cancelled = true, .stopped = true}, "", id,
                              Noted(id, std::move(reply)));
        },
        [](const absl::StatusOr<int64_t>&) {});
  });
  Often("user: drains a worker", 60'000, [this] {
    const std::string id = AnyWorker().id();
    coordinator_.Ask<WorkerView>(
        [id](Engine* engine, Engine::Reply<WorkerView> reply) {
          engine->DrainWorker(id, "maintenance", std::move(reply));
        },
        [](const absl::StatusOr<WorkerView>&) {});
    world_.After(world_.About(20'000), [this, id] {
      coordinator_.Ask<WorkerView>(
          [id](Engine* engine, Engine::Reply<WorkerView> reply) {
            engine->ResumeWorker(id, std::move(reply));
          },
          [](const absl::StatusOr<WorkerView>&) {});
    });
  });
  Often("user: asks for a trial", 1'000,
        [this, any_sweep] { AskWhy(any_sweep(), world_.Between(1, 12)); });
}

// ---- what goes wrong

void Simulation::Often(const std::string& kind, int64_t mean_ms, std::function<void()> deed) {
  // Most runs know only some kinds of fault: together they would hide each other.
  if (world_.Chance(0.5)) return;
  world_.Repeat(1 + world_.About(mean_ms), [this, kind, mean_ms, deed = std::move(deed)] {
    if (!faulty()) return int64_t{-1};
    Count(kind);
    deed();
    return 1 + world_.About(mean_ms);
  });
}

void Simulation::PlanFaults() {
  Often("coordinator: killed", 25'000, [this] { disk_.DieAt(world_.Between(1, 40)); });
  Often("coordinator: killed at rest", 40'000, [this] {
    coordinator_.Kill(/*power_lost=*/world_.Chance(0.3));
    world_.After(100 + world_.About(3'000), [this] { coordinator_.Start(); });
  });
  Often("coordinator: stopped", 40'000, [this] { coordinator_.StopProcess(world_.About(8'000)); });
  Often("coordinator: clock jumps", 60'000,
        [this] { coordinator_.JumpClock(world_.Between(-3'600'000, 3'600'000)); });
  Often("disk: errors", 30'000, [this] {
    disk_.SetErrors({.read = 0.02 * world_.Uniform(),
                     .write = 0.1 * world_.Uniform(),
                     .sync = 0.1 * world_.Uniform()});
    world_.After(world_.About(4'000), [this] { disk_.SetErrors({}); });
  });
  Often("disk: full", 40'000, [this] {
    disk_.SetFull(true);
    world_.After(world_.About(6'000), [this] { disk_.SetFull(false); });
  });
  Often("worker: killed", 15'000, [this] {
    Worker& worker = AnyWorker();
    worker.KillDaemon(world_.Chance(0.2) ? world_.About(3'000) : 0);
    world_.After(100 + world_.About(5'000), [&worker] { worker.StartDaemon(); });
  });
  Often("worker: stopped", 25'000, [this] { AnyWorker().StopDaemon(world_.About(12'000)); });
  Often("host: stopped", 40'000, [this] { AnyWorker().StopHost(world_.About(12'000)); });
  Often("worker: leaves", 40'000, [this] { AnyWorker().DrainDaemon(); });
  Often("worker: unhealthy", 40'000, [this] {
    Worker& worker = AnyWorker();
    worker.SetUnhealthy("disk is full (simulated)");
    world_.After(world_.About(10'000), [&worker] { worker.SetUnhealthy(""); });
  });
  Often("worker: disk fills up", 60'000, [this] { AnyWorker().FillDisk(world_.About(10'000)); });
  Often("host: breaks all trainers", 60'000, [this] {
    const int worker = static_cast<int>(world_.Between(0, workers_.size() - 1));
    broken_until_ms_[worker] = world_.now_ms() + world_.About(40'000);
  });
  Often("worker: clock jumps", 60'000,
        [this] { AnyWorker().JumpClock(world_.Between(-3'600'000, 3'600'000)); });
  Often("network: cut", 20'000, [this] {
    const int64_t way = world_.Between(0, 2);
    network_.Cut(static_cast<int>(world_.Between(0, workers_.size() - 1)), way != 0, way != 1,
                 // Every other one lasts longer than a lease.
                 world_.Chance(0.5) ? world_.About(5'000) : world_.Between(15'000, 60'000));
  });
  Often("network: stream breaks", 10'000, [this] { AnyWorker().BreakStream(); });
  Often("network: bad", 30'000, [this] {
    network_.SetChances({.lost = 0.2 * world_.Uniform(),
                         .doubled = 0.2 * world_.Uniform(),
                         .broken = 0.05 * world_.Uniform(),
                         .delay_ms = 1 + world_.About(50)});
    world_.After(world_.About(15'000), [this] { network_.SetChances({}); });
  });
  Often("failpoint", 8'000, [this] {
    crash_at_.insert(FailpointNames()[world_.Between(0, FailpointNames().size() - 1)]);
  });
  // Some places are seldom reached: each run dies there in one of them, if it ever gets there.
  crash_at_.insert(FailpointNames()[options_.seed % FailpointNames().size()]);
}

void Simulation::Heal() {
  world_.Note("nothing goes wrong any more");
  crash_at_.clear();
  disk_.DieAt(0);
  disk_.SetErrors({});
  disk_.SetFull(false);
  network_.HealAll();
  coordinator_.Start();
  for (const auto& worker : workers_) {
    worker->SetUnhealthy("");
    worker->StartDaemon();
  }
}

// ---- until all is done

void Simulation::AskSweeps(const std::function<void(const SweepView&)>& take) {
  coordinator_.Ask<std::vector<SweepView>>(
      [](Engine* engine, Engine::Reply<std::vector<SweepView>> reply) {
        engine->ListSweeps(/*before_sweep_id=*/0, /*limit=*/100, std::move(reply));
      },
      [take](const absl::StatusOr<std::vector<SweepView>>& sweeps) {
        if (!sweeps.ok()) return;
        for (const SweepView& sweep : *sweeps) take(sweep);
      });
}

void Simulation::Tend() {
  AskSweeps([this](const SweepView& sweep) {
    const std::string& name = sweep.row.name;
    if (sweep.row.state == SweepState::kPaused) Steer(Engine::SweepVerb::kResume, name);
    const TrialCounts& counts = sweep.row.counts;
    if (counts.failed + counts.cancelled + counts.stopped == 0) return;
    model_.OnRetried();
    if (sweep.row.state == SweepState::kCancelled) {
      // A cancelled sweep stays so; its trials are asked for under another name.
      if (!asked_again_.insert(name).second) return;
      const std::string submitted = absl::StrCat("name: ", name.substr(0, name.find('-')), "\n");
      for (std::string spec : specs_) {
        const size_t at = spec.find(submitted);
        if (at == std::string::npos) continue;
        spec.replace(at, submitted.size(), absl::StrCat("name: again", ++requests_, "\n"));
        Submit(spec);
      }
      return;
    }
    coordinator_.Ask<int64_t>(
        [this, name, id = RequestId()](Engine* engine, Engine::Reply<int64_t> reply) {
          engine->RetryTrials(name, {}, {.cancelled = true, .stopped = true}, "", id,
                              Noted(id, std::move(reply)));
        },
        [](const absl::StatusOr<int64_t>&) {});
  });
  TendHanging();
  for (const auto& worker : workers_) {
    coordinator_.Ask<WorkerView>(
        [id = worker->id()](Engine* engine, Engine::Reply<WorkerView> reply) {
          engine->ResumeWorker(id, std::move(reply));
        },
        [](const absl::StatusOr<WorkerView>&) {});
  }
}

bool Simulation::AllDone() {
  if (coordinator_.down() || submits_open_ > 0 || sweeps_.empty()) return false;
  for (const auto& worker : workers_) {
    if (!worker->Idle()) return false;
  }
  const FaultyVfs::Calm calm(&disk_);
  return Model::AllEndedWell(store_path_);
}

Simulation::Report Simulation::Run() {
  MakeWorkload();
  MakeWorkers();
  coordinator_.Start();
  for (const auto& worker : workers_) {
    world_.After(world_.About(500), [&worker = *worker] { worker.StartDaemon(); });
  }
  faults_end_ms_ = options_.faults ? world_.now_ms() + 45'000 + world_.About(60'000) : 0;
  PlanDeeds();
  if (options_.faults) PlanFaults();
  int64_t next_look_ms = 0;
  const auto run_until = [&](int64_t end_ms) {
    while (model_.breach().empty() && world_.now_ms() < end_ms) {
      world_.Step(std::min(end_ms, next_look_ms));
      if (world_.now_ms() < next_look_ms) continue;
      next_look_ms = world_.now_ms() + kLookMs;
      Look();
      if (world_.now_ms() >= faults_end_ms_ && AllDone()) return;
    }
  };
  run_until(faults_end_ms_);
  Heal();
  if (options_.faults) {
    world_.Repeat(kTendMs, [this] {
      Tend();
      return kTendMs;
    });
  }
  const int64_t end_ms = world_.now_ms() + kProgressMs;
  run_until(end_ms);
  if (model_.breach().empty() && world_.now_ms() >= end_ms) {
    const FaultyVfs::Calm calm(&disk_);
    model_.Breach(absl::StrCat("not done ", kProgressMs / 60'000,
                               " minutes after the last fault: ", Model::WhatIsOpen(store_path_)));
  }
  if (model_.breach().empty()) {
    const FaultyVfs::Calm calm(&disk_);
    model_.LookAtEnd(store_path_);
    report_.results = Model::Results(store_path_);
  }
  report_.breach = model_.breach();
  report_.simulated_ms = world_.now_ms();
  report_.counts["disk: faults"] = disk_.faults();
  report_.counts["network: lost"] = network_.lost();
  report_.counts["network: doubled"] = network_.doubled();
  return report_;
}

}  // namespace loglog::sim
