#ifndef LOGLOG_COORDINATOR_ENGINE_H_
#define LOGLOG_COORDINATOR_ENGINE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <spdlog/common.h>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/gate.h"
#include "base/io_guard.h"
#include "base/strand.h"
#include "coordinator/engine_types.h"
#include "coordinator/progress.h"
#include "coordinator/reader_pool.h"
#include "coordinator/scheduler.h"
#include "coordinator/task_order.h"
#include "coordinator/token_book.h"
#include "coordinator/watch_hub.h"
#include "fitting/fitter.h"
#include "fitting/stop_look.h"
#include "plan/expand.h"
#include "plan/spec.h"
#include "store/disk_wake.h"
#include "store/store.h"

namespace loglog {

// The coordinator without its wire: the strand, the store and the scheduler, behind
// calls that take plain structs and answer later, on a thread of the engine.
//
// Each change of state is one part of a transaction with its events, and is answered
// after the commit: what was answered survives kill -9. When a commit fails, all of its
// group is rolled back, the scheduler is made anew from the store, and every call of the
// group ends with UNAVAILABLE or, with a full disk, RESOURCE_EXHAUSTED.
//
// Who asks (`caller`, empty when nobody says) is kept with the events of a change.
//
// Every call ends exactly once, with UNAVAILABLE once the engine is stopping. Replies
// must not block. Thread-safe, but for Stop, which belongs to one thread.
class Engine {
 public:
  template <typename T>
  using Reply = std::function<void(absl::StatusOr<T>)>;

  // As Store::Open.
  static absl::StatusOr<std::unique_ptr<Engine>> Open(const std::string& store_path,
                                                      const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Answers every parked call and lets no other park; watchers are told.
  void BeginStop();
  // Ends what is under way, then closes the store. Idempotent.
  void Stop();

  // ---- workers (engine_workers.cc). STALE_SESSION is FAILED_PRECONDITION.
  void RegisterWorker(const RegisterRequest& request, Reply<RegisterAnswer> reply,
                      const std::string& caller = "");
  // Parks for up to wait_ms when there is nothing to say. Returns what CancelSync takes.
  int64_t SyncWorker(const SyncRequest& request, Reply<SyncAnswer> reply);
  // The caller has gone; the call ends with CANCELLED if it is still parked.
  void CancelSync(const std::string& worker_id, int64_t ticket);
  // INVALID_ARGUMENT: a gap in the numbers, a malformed event, or an attempt that is not this
  // worker's.
  void StoreBatch(BatchRequest request, Reply<BatchAnswer> reply);
  void DrainWorker(const std::string& worker_id, const std::string& reason, Reply<WorkerView> reply,
                   const std::string& caller = "");
  void ResumeWorker(const std::string& worker_id, Reply<WorkerView> reply,
                    const std::string& caller = "");

  // ---- sweeps (engine_sweeps.cc)
  void CreateSweep(const std::string& spec_json, const std::string& request_id, bool validate_only,
                   Reply<CreateAnswer> reply, const std::string& caller = "");
  enum class SweepVerb { kPause, kResume, kCancel };
  // `revision` 0: whatever it is; else ABORTED when it is another.
  // `reason`, here and below: for the event; may be empty.
  void ChangeSweep(SweepVerb verb, const std::string& name, int64_t revision,
                   const std::string& reason, const std::string& request_id, Reply<SweepView> reply,
                   const std::string& caller = "");
  // No numbers: all such trials of the sweep. Answers how many.
  void RetryTrials(const std::string& sweep, const std::vector<int64_t>& numbers,
                   const RetryKinds& kinds, const std::string& reason,
                   const std::string& request_id, Reply<int64_t> reply,
                   const std::string& caller = "");
  // kStop: ended early, with what it has reached.
  enum class TrialVerb { kCancel, kStop };
  void EndTrial(TrialVerb verb, const std::string& sweep, int64_t number, const std::string& reason,
                const std::string& request_id, Reply<TrialView> reply,
                const std::string& caller = "");

  // ---- tokens (engine_tokens.cc)
  // Looks up, at once. UNAUTHENTICATED: no token, or one that does not hold (any more).
  absl::StatusOr<TokenRow> FindToken(absl::string_view token);
  absl::Status CheckToken(int64_t token_id) const;
  bool HasAdminToken() const;
  // One hash is one token: the same again answers the one that is there. INVALID_ARGUMENT;
  // FAILED_PRECONDITION: too many of them.
  void CreateToken(const NewToken& token, Reply<TokenRow> reply, const std::string& caller = "");
  // NOT_FOUND. Fine when it was revoked before.
  void RevokeToken(int64_t token_id, Reply<TokenRow> reply, const std::string& caller = "");
  void ListTokens(int64_t after_token_id, int limit, Reply<std::vector<TokenRow>> reply);

  // ---- questions (engine_reads.cc)
  void GetSweep(const std::string& name, Reply<SweepView> reply);
  // Newest first.
  void ListSweeps(int64_t before_sweep_id, int limit, Reply<std::vector<SweepView>> reply);
  void GetTrial(const std::string& sweep, int64_t number, Reply<TrialView> reply);
  void ListTrials(const std::string& sweep, int64_t after_number,
                  const std::vector<TrialState>& states, int limit, Reply<TrialPage> reply);
  void ListWorkers(const std::string& after_worker_id, int limit,
                   Reply<std::vector<WorkerView>> reply);
  void ListPoints(const PointsRequest& request, Reply<std::vector<SeriesView>> reply);
  void GetTrialEvents(const std::string& sweep, int64_t number, int limit,
                      Reply<std::vector<EventRow>> reply);
  // `sweep` empty: of all sweeps. Oldest first.
  void ListEvents(const std::string& sweep, int64_t after_event_id, int limit,
                  Reply<std::vector<EventRow>> reply);
  void GetServerInfo(Reply<ServerView> reply);
  // Rings when events were appended, and when the engine stops.
  WatchHub* watch_hub() { return &watch_hub_; }
  // Of metric streams: rings when the engine stops.
  WatchHub* stream_hub() { return &stream_hub_; }

  // ---- fits (engine_fits.cc)
  // `censored`: with what its stopped trials say, whether the spec asks for it or not. `at`:
  // where the law's loss is predicted besides.
  void CreateFit(const std::string& sweep, const FitTarget& target, Reply<FitView> reply,
                 bool censored = false, std::vector<Place> at = {});
  void GetFit(const std::string& sweep, int64_t number, Reply<FitView> reply);
  void ListFits(const std::string& sweep, Reply<std::vector<FitView>> reply);

  // EngineOptions::own_threads = false only: does all that is asked of it and all that is
  // due by its clock. Returns after how many milliseconds something will be due.
  int64_t Run();
  // Runs what is due by the clock and answers parked calls that waited long enough; for
  // tests, whose clock does not move by itself. Returns when that is done: how many calls
  // are parked.
  size_t Poke();

 private:
  // What is remembered of a sweep's spec.
  struct SpecInfo {
    CheckpointSpec checkpoint;
    RetrySpec retries;
    SweepSchedule schedule;
    std::vector<FitRequest> fit;
  };
  static SpecInfo InfoOf(const SweepSpec& spec);
  struct ParkedSync {
    int64_t ticket = 0;
    int64_t until_ms = 0;
    int64_t lease_ms = 0;  // what its attempts were renewed with
    Reply<SyncAnswer> reply;
  };
  // Fits of one sweep that wait to be made again. The arm "" stands for all.
  struct PendingRefit {
    bool running = false;
    std::set<std::string> arms;
    int64_t not_before_ms = 0;  // the next ones
  };

  Engine(std::unique_ptr<Store> store, const EngineOptions& options);

  // ---- groups (engine.cc)
  void BeginGroup();
  absl::Status CommitGroup();
  int64_t IdleMs() const;
  // Makes the scheduler anew from the store.
  absl::Status Reload();
  absl::Status LoadInto(Scheduler* scheduler, Progress* progress);
  absl::Status EnsureTransaction();
  void EndTransaction();
  // An error that the state cannot go on from: the group is given up.
  void Must(const absl::Status& status);
  // Counts a user's call until its answer; refuses it, and is false, when too many are under
  // way.
  template <typename T>
  bool Admit(Gate* gate, Reply<T>* reply);
  // Runs `body` on the strand, answers after the commit. What users ask for is patient.
  template <typename T>
  void OnStrand(Reply<T> reply, std::function<absl::StatusOr<T>()> body,
                Strand::Lane lane = Strand::Lane::kUrgent);
  // The same; the events that `body` appends say who asked.
  template <typename T>
  void OnStrandFor(const std::string& caller, Reply<T> reply,
                   std::function<absl::StatusOr<T>()> body,
                   Strand::Lane lane = Strand::Lane::kUrgent);
  // A user's question: runs `body` on a thread of `pool` that may read the store, answers
  // from there.
  template <typename T>
  void OnReader(ReaderPool* pool, Reply<T> reply,
                std::function<absl::StatusOr<T>(const ReadStore&)> body);
  // OnReader, then `fill` on the strand, then the answer.
  template <typename T>
  void ReadThenFill(Reply<T> reply, std::function<absl::StatusOr<T>(const ReadStore&)> body,
                    std::function<void(T*)> fill);
  void Apply(const Actions& actions);
  void ApplyOne(const EndAttempt& action);
  void ApplyOne(const MarkAttempt& action);
  void ApplyOne(const PutTask& action);
  void ApplyOne(const PutWorker& action);
  void ApplyOne(const EndSweep& action);
  void AppendEvent(EventRow event);
  void SweepEvent(absl::string_view kind, int64_t sweep_id, std::string detail_json);
  // One event for each sweep that counts the trial.
  void TrialEvent(absl::string_view kind, int64_t trial_id, int64_t attempt_id,
                  const std::string& worker_id, const std::string& detail_json);
  // Written when the transaction is over and its answers are on their way.
  void Log(spdlog::level::level_enum level, std::string line);
  void WriteLog();

  // ---- workers
  void Dispatch();
  absl::Status Execute(const Grant& grant);
  absl::StatusOr<TaskOrder> OrderOf(int64_t attempt_id);
  absl::StatusOr<TaskOrder> MakeOrder(const AttemptRow& attempt, const StartPoint& start);
  absl::StatusOr<StartPoint> StartPointOn(const WorkerRow& worker, int64_t task_id);
  // A trunk's new checkpoint is where its branches of this step begin.
  absl::Status ReleaseBranches(int64_t trunk_task_id, int64_t step, const std::string& worker_id);
  void CollectSyncAnswers();
  absl::Status CheckSync(const SyncRequest& request) const;
  // Only of this worker.
  std::optional<EndedAttempt> FindEnded(const std::string& worker_id, int64_t attempt_id);
  absl::Status CheckAttemptIsOf(const std::string& worker_id, int64_t attempt_id) const;
  absl::StatusOr<BatchAnswer> ApplyBatch(BatchRequest* request);
  void AfterBatch(const BatchRequest& request, const BatchResult& result);
  absl::Status CheckNameIsFree(const RegisterRequest& request) const;
  absl::Status CheckRoomForWorker(const std::string& worker_id) const;
  absl::StatusOr<RegisterAnswer> ApplyRegister(const RegisterRequest& request);
  absl::StatusOr<WorkerView> ViewOfWorker(const std::string& worker_id) const;

  // ---- sweeps
  absl::StatusOr<const SpecInfo*> SpecOf(int64_t sweep_id);
  absl::StatusOr<TaskContext> ContextOf(const TaskRow& task);
  // The open trials and tasks of a sweep (0: of all).
  absl::Status AddOpen(int64_t sweep_id, Scheduler* scheduler);
  // RESOURCE_EXHAUSTED when so many trials cannot be open as well.
  absl::Status CheckRoomForTrials(int64_t trials) const;
  absl::StatusOr<CreateAnswer> CreatedBefore(absl::string_view served) const;
  absl::StatusOr<CreateAnswer> ApplyCreate(NewSweep* sweep, const SpecInfo& info,
                                           bool validate_only);
  absl::StatusOr<SweepView> ApplyVerb(SweepVerb verb, const std::string& name, int64_t revision,
                                      const std::string& reason, const std::string& request_id);
  absl::StatusOr<int64_t> ApplyRetry(const std::string& name, const std::vector<int64_t>& numbers,
                                     const RetryKinds& kinds, const std::string& reason,
                                     const std::string& request_id);
  absl::StatusOr<TrialView> ApplyEndTrial(TrialVerb verb, const std::string& name, int64_t number,
                                          const std::string& reason, const std::string& request_id);
  // Whether this request was served before; INVALID_ARGUMENT when its id belongs to
  // another one.
  absl::StatusOr<std::optional<std::string>> ServedBefore(const std::string& request_id,
                                                          const std::string& what);
  void RememberServed(const std::string& request_id, const std::string& what,
                      absl::string_view answer);

  // ---- tokens
  absl::Status LoadTokens();
  absl::StatusOr<TokenRow> ApplyCreateToken(const NewToken& token);
  void TokenEvent(absl::string_view kind, const TokenRow& token);

  // ---- what only the strand knows, added to what was read
  void FillSweep(SweepView* view) const;
  void FillTrial(TrialView* view) const;
  void FillWorker(WorkerView* view) const;

  // ---- fits
  void MarkForRefit(int64_t sweep_id, const std::string& arm);
  // In every sweep that counts it.
  void MarkTrialForRefit(int64_t trial_id);
  void StartRefits();
  // When the next fits may start that wait; INT64_MAX for never.
  int64_t NextRefitMs() const;
  struct Refits {
    std::vector<FitRow> fits;      // that are not in the store yet
    std::optional<StopLook> look;  // at the sweep's stop rule
  };
  // On a compute thread: of these arms.
  Refits ComputeRefits(int64_t sweep_id, const std::set<std::string>& arms,
                       const std::vector<FitRequest>& requests, const ReadStore& store) const;
  // Posts them to the strand. `took_ms`: to compute them.
  void StoreRefits(int64_t sweep_id, Refits computed, int64_t took_ms);
  // Ends what is left of a sweep whose stop rule holds.
  absl::Status EndByRule(int64_t sweep_id, const StopLook& look);
  absl::StatusOr<FitRow> InsertFit(int64_t sweep_id, FitRow fit);

  const EngineOptions options_;
  Clock* const clock_;
  const int64_t start_wall_ms_;
  const std::unique_ptr<Store> owned_store_;
  std::atomic<int64_t> last_ticket_ = 0;
  std::atomic<bool> stop_asked_ = false;  // long work on other threads ends early
  Gate user_calls_;
  Gate submits_;
  DiskWake disk_wake_;
  WatchHub watch_hub_;
  TokenBook tokens_;
  WatchHub stream_hub_;

  // Strand-confined from here on.
  Store* store_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<Progress> progress_;
  bool loaded_ = false;       // scheduler_ says what the store says
  bool check_sweeps_ = true;  // for sweeps that have nothing left to do
  bool stopping_ = false;     // nothing parks any more
  int64_t now_ms_ = 0;        // of this group, monotonic
  int64_t wall_ms_ = 0;       // of this group
  absl::Status group_error_;
  std::optional<NoIoScope> no_io_;  // while a transaction is open
  bool events_appended_ = false;
  std::string caller_;  // who asked for what is being done; empty: nobody
  std::vector<std::pair<spdlog::level::level_enum, std::string>> log_lines_;
  std::map<std::string, ParkedSync> parked_;  // by worker
  std::set<std::string> recheck_;             // workers whose answer may be ready
  std::vector<std::pair<Reply<SyncAnswer>, SyncAnswer>> sync_answers_;
  std::map<std::string, int64_t> synced_wall_ms_;    // by worker
  std::map<std::string, int64_t> synced_stored_ms_;  // the same, as the store has it
  absl::flat_hash_map<int64_t, TaskOrder> orders_;   // of live attempts
  absl::flat_hash_map<int64_t, SpecInfo> specs_;     // by sweep
  std::map<int64_t, PendingRefit> refits_;           // by sweep

  // Last, so that their threads end before what they use.
  std::unique_ptr<ReaderPool> readers_;
  std::unique_ptr<ReaderPool> compute_;
  std::unique_ptr<Strand> strand_;
  bool stopped_ = false;
};

// A failure of the store itself, after which its transaction cannot be trusted; other
// codes say that the caller asked for what cannot be.
bool IsStoreFailure(const absl::Status& status);
absl::Status Stopping();
absl::Status TooManyCalls(int64_t calls_max);

template <typename T>
bool Engine::Admit(Gate* gate, Reply<T>* reply) {
  Gate::Pass pass = gate->TryEnter();
  if (pass == nullptr) {
    (*reply)(TooManyCalls(gate->passes_max()));
    return false;
  }
  // Gives its room up first: who has its answer may call again at once.
  *reply = [held = std::make_shared<Gate::Pass>(std::move(pass)),
            inner = std::move(*reply)](absl::StatusOr<T> answer) {
    held->reset();
    inner(std::move(answer));
  };
  return true;
}

template <typename T>
void Engine::OnStrand(Reply<T> reply, std::function<absl::StatusOr<T>()> body, Strand::Lane lane) {
  const bool posted = strand_->Post(
      [this, reply, body = std::move(body)]() -> Strand::After {
        if (!group_error_.ok()) {
          return [reply](const absl::Status& committed) { reply(committed); };
        }
        auto answer = std::make_shared<absl::StatusOr<T>>(body());
        if (IsStoreFailure(answer->status())) Must(answer->status());
        return [reply, answer](const absl::Status& committed) {
          CheckIoAllowed("answering a call");
          if (committed.ok()) {
            reply(std::move(*answer));
          } else {
            reply(committed);
          }
        };
      },
      lane);
  if (!posted) reply(Stopping());
}

template <typename T>
void Engine::OnStrandFor(const std::string& caller, Reply<T> reply,
                         std::function<absl::StatusOr<T>()> body, Strand::Lane lane) {
  OnStrand<T>(
      std::move(reply),
      [this, caller, body = std::move(body)] {
        caller_ = caller;
        absl::StatusOr<T> answer = body();
        caller_.clear();
        return answer;
      },
      lane);
}

template <typename T>
void Engine::OnReader(ReaderPool* pool, Reply<T> reply,
                      std::function<absl::StatusOr<T>(const ReadStore&)> body) {
  if (!Admit(&user_calls_, &reply)) return;
  pool->Post([reply, body = std::move(body)](const ReadStore& store) { reply(body(store)); },
             reply);
}

template <typename T>
void Engine::ReadThenFill(Reply<T> reply, std::function<absl::StatusOr<T>(const ReadStore&)> body,
                          std::function<void(T*)> fill) {
  if (!Admit(&user_calls_, &reply)) return;
  readers_->Post(
      [this, reply, body = std::move(body), fill = std::move(fill)](const ReadStore& store) {
        absl::StatusOr<T> read = body(store);
        if (!read.ok()) return reply(read.status());
        auto value = std::make_shared<T>(*std::move(read));
        OnStrand<T>(
            reply,
            [value, fill]() -> absl::StatusOr<T> {
              fill(value.get());
              return std::move(*value);
            },
            Strand::Lane::kPatient);
      },
      reply);
}

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_ENGINE_H_
