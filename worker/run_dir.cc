#include "worker/run_dir.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/unique_id.h"
#include "worker/event_file.h"
#include "worker/paths.h"

namespace loglog::worker {
namespace {

using Json = nlohmann::json;

constexpr mode_t kDirMode = 0700;
constexpr mode_t kFileMode = 0600;
constexpr size_t kFailedKept = 20;
constexpr absl::string_view kAttemptPrefix = "attempt-";
constexpr absl::string_view kSurvivorPrefix = "survivor-";
// A process that is killed needs a moment, even after others have used up the time.
constexpr int64_t kKillAtLeastMs = 100;

std::string DefaultWorkerId() {
  char host[256] = {};
  gethostname(host, sizeof(host) - 1);
  std::string id;
  for (const char c : absl::string_view(host).substr(0, 50)) {
    if (c == '.') break;
    const char lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    id.push_back(std::isalnum(static_cast<unsigned char>(lower)) != 0 ? lower : '-');
  }
  return absl::StrCat(IsWorkerId(id) ? id : "worker", "-", RandomHexId(3));
}

absl::StatusOr<std::string> ChooseWorkerId(const std::string& name, const std::string& path) {
  if (!name.empty()) {
    if (!IsWorkerId(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--name is '", name,
                       "'; use 1 to 63 lower-case letters, digits and dashes, no dash "
                       "first"));
    }
    return name;
  }
  const absl::StatusOr<std::string> stored = ReadFile(path);
  if (stored.ok()) {
    std::string id(absl::StripSuffix(*stored, "\n"));
    if (IsWorkerId(id)) return id;
    return absl::FailedPreconditionError(
        absl::StrCat(path, " holds no worker id; remove the file, or give --name"));
  }
  if (!absl::IsNotFound(stored.status())) return stored.status();
  return DefaultWorkerId();
}

std::vector<std::string> Names(const std::string& dir) {
  absl::StatusOr<std::vector<std::string>> names = ListDir(dir);
  return names.ok() ? *std::move(names) : std::vector<std::string>();
}

bool HasAttempts(const std::string& dir) {
  const std::vector<std::string> names = Names(dir);
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return absl::StartsWith(name, kAttemptPrefix);
  });
}

// Steps whose checkpoints other tasks of the sweep begin at.
std::set<int64_t> BranchSteps(const Json& task) {
  std::set<int64_t> steps;
  const Json::json_pointer at("/checkpoint/at");
  if (!task.contains(at) || !task[at].is_array()) return steps;
  for (const Json& step : task[at]) {
    if (step.is_number_integer()) steps.insert(step.get<int64_t>());
  }
  return steps;
}

void LogIfError(const absl::Status& status) {
  if (!status.ok()) spdlog::warn("{}", std::string(status.message()));
}

}  // namespace

bool IsWorkerId(absl::string_view id) {
  return !id.empty() && id.size() <= 63 && id[0] != '-' &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

absl::StatusOr<std::string> ComposeTask(const std::string& task_json, const std::string& fields) {
  const Json task = Json::parse(task_json, nullptr, false);
  const Json added = Json::parse("{" + fields + "}", nullptr, false);
  if (!task.is_object() || task.empty()) {
    return absl::InvalidArgumentError("the coordinator's task is not a JSON object");
  }
  LOGLOG_RETURN_IF_ERROR(CheckGlobs(task));
  for (const auto& [name, value] : added.items()) {
    if (task.contains(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the coordinator's task has a field '", name, "' that is the worker's"));
    }
  }
  // Spliced, not parsed and printed: numbers must reach the trainer as they are written.
  return absl::StrCat(task_json.substr(0, task_json.rfind('}')), ",", fields, "}\n");
}

RunDir::RunDir(std::string root, std::string checkpoint_root, std::string data_root,
               std::unique_ptr<LockFile> lock)
    : root_(std::move(root)),
      checkpoint_root_(std::move(checkpoint_root)),
      data_root_(std::move(data_root)),
      lock_(std::move(lock)) {}

absl::StatusOr<std::unique_ptr<RunDir>> RunDir::Open(const Options& options) {
  const std::string root = AbsolutePath(options.root);
  const std::string checkpoints = options.checkpoint_root.empty()
                                      ? root + "/checkpoints"
                                      : AbsolutePath(options.checkpoint_root);
  LOGLOG_RETURN_IF_ERROR(MakeDirs(root, kDirMode));
  LOGLOG_RETURN_IF_ERROR(MakeDirs(checkpoints, kDirMode));
  LOGLOG_RETURN_IF_ERROR(CheckFolder(root, "--run-dir", /*shared=*/false));
  LOGLOG_RETURN_IF_ERROR(CheckFolder(checkpoints, "--checkpoint-dir", options.shared_checkpoints));
  auto lock = LockFile::Acquire(root + "/lock");
  if (absl::IsFailedPrecondition(lock.status())) {
    return Annotate(lock.status(),
                    "another loglog-worker uses this run directory; stop it or give --run-dir");
  }
  LOGLOG_RETURN_IF_ERROR(lock.status());
  const std::string id_path = root + "/worker-id";
  LOGLOG_ASSIGN_OR_RETURN(std::string id, ChooseWorkerId(options.name, id_path));
  // Not again: a worker whose disk is full has to start, to report what it owes.
  if (const absl::StatusOr<std::string> known = ReadFile(id_path);
      !known.ok() || *known != id + "\n") {
    LOGLOG_RETURN_IF_ERROR(WriteFileAtomically(id_path, id + "\n", kFileMode));
  }
  std::unique_ptr<RunDir> run_dir(
      new RunDir(root, checkpoints, AbsolutePath(options.data_root), *std::move(lock)));
  run_dir->worker_id_ = std::move(id);
  return run_dir;
}

std::string RunDir::LastStore() const {
  const absl::StatusOr<std::string> text = ReadFile(root_ + "/store-id");
  return text.ok() ? std::string(absl::StripSuffix(*text, "\n")) : "";
}

absl::Status RunDir::SetLastStore(const std::string& store) const {
  if (!IsStoreId(store)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the coordinator's store id '", store, "' cannot name a folder"));
  }
  if (LastStore() == store) return absl::OkStatus();
  return WriteFileAtomically(root_ + "/store-id", store + "\n", kFileMode);
}

std::string RunDir::AttemptDir(const std::string& store, int64_t attempt_id) const {
  return absl::StrCat(StoreDir(store), "/", kAttemptPrefix, attempt_id);
}

std::string RunDir::TaskCheckpointDir(const std::string& store, int64_t task_id) const {
  return absl::StrCat(checkpoint_root_, "/", store, "/task-", task_id);
}

absl::Status RunDir::Prepare(const std::string& store, const TaskOrder& order,
                             const Placement& placement) const {
  const std::string dir = AttemptDir(store, order.attempt_id);
  const std::string checkpoints = TaskCheckpointDir(store, order.task_id);
  // Attempt ids only grow, so a folder with this number is from a store that was put
  // back to an older state; what it holds is another attempt's.
  if (PathExists(dir)) spdlog::warn("{} is there already; removing it", dir);
  LOGLOG_RETURN_IF_ERROR(MakeFoldersBelow(root_, {store}));
  LOGLOG_RETURN_IF_ERROR(RemoveTree(dir));
  LOGLOG_RETURN_IF_ERROR(
      MakeFoldersBelow(root_, {store, absl::StrCat(kAttemptPrefix, order.attempt_id)}));
  LOGLOG_RETURN_IF_ERROR(
      MakeFoldersBelow(checkpoint_root_, {store, absl::StrCat("task-", order.task_id)}));
  const auto quoted = [](const std::string& text) {
    return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  std::string fields =
      absl::StrCat("\"run_dir\":", quoted(dir), ",\"checkpoint_dir\":", quoted(checkpoints),
                   ",\"data_root\":", quoted(data_root_), ",\"device\":", quoted(placement.device),
                   ",\"threads\":", placement.threads);
  if (!placement.devices.empty()) {
    absl::StrAppend(&fields, ",\"devices\":", Json(placement.devices).dump());
  }
  if (order.resume_step > 0) {
    LOGLOG_ASSIGN_OR_RETURN(const std::string resume_path,
                            LocalCheckpoint(checkpoint_root_ + "/" + store, order.resume_path));
    absl::StrAppend(&fields, order.branches ? ",\"branch\"" : ",\"resume\"",
                    ":{\"step\":", order.resume_step, ",\"path\":", quoted(resume_path),
                    ",\"sha256\":", quoted(order.resume_sha256), "}");
  }
  LOGLOG_ASSIGN_OR_RETURN(const std::string task, ComposeTask(order.task_json, fields));
  return ReplaceFile(dir + "/task.json", task, kFileMode);
}

absl::Status RunDir::WritePid(const std::string& store, int64_t attempt_id, pid_t pid) const {
  LOGLOG_ASSIGN_OR_RETURN(const std::string identity, DescribeProcess(pid));
  return ReplaceFile(AttemptDir(store, attempt_id) + "/pid", identity, kFileMode);
}

absl::Status RunDir::WriteOutcome(const std::string& store, int64_t attempt_id,
                                  const Outcome& outcome) const {
  return ReplaceFile(AttemptDir(store, attempt_id) + "/outcome.json", OutcomeToJson(outcome),
                     kFileMode);
}

int RunDir::CountMembers(const std::string& store, int64_t attempt_id) const {
  const absl::StatusOr<std::string> text = ReadFile(AttemptDir(store, attempt_id) + "/task.json");
  if (!text.ok()) return 0;
  const Json task = Json::parse(*text, nullptr, false);
  if (!task.is_object() || !task.contains("members") || !task["members"].is_array()) return 0;
  return static_cast<int>(task["members"].size());
}

void RunDir::Forget(const std::string& store, int64_t attempt_id, bool accepted) const {
  const std::string dir = AttemptDir(store, attempt_id);
  if (!IsFolder(StoreDir(store))) return;
  const absl::StatusOr<std::string> text = ReadFile(dir + "/outcome.json");
  const absl::StatusOr<Outcome> outcome =
      text.ok() ? OutcomeFromJson(*text) : absl::StatusOr<Outcome>(text.status());
  using Kind = Outcome::Kind;
  if (accepted && outcome.ok() &&
      (outcome->kind == Kind::kDone || outcome->kind == Kind::kDiverged)) {
    const absl::StatusOr<std::string> task_text = ReadFile(dir + "/task.json");
    const Json task = task_text.ok() ? Json::parse(*task_text, nullptr, false) : Json();
    if (task.is_object() && task.contains("task_id") && task["task_id"].is_number_integer()) {
      KeepNewestCheckpoint(store, task["task_id"].get<int64_t>(), BranchSteps(task));
    }
  }
  const bool failed = outcome.ok() && outcome->kind != Kind::kDone &&
                      outcome->kind != Kind::kDiverged && outcome->kind != Kind::kStopped &&
                      outcome->kind != Kind::kLost;
  if (!failed) {
    LogIfError(RemoveTree(dir));
    return;
  }
  const std::string failed_dir = StoreDir(store) + "/failed";
  const std::string target = absl::StrCat(failed_dir, "/", kAttemptPrefix, attempt_id);
  if (const absl::Status made = MakeFoldersBelow(root_, {store, "failed"}); !made.ok()) {
    LogIfError(made);
    LogIfError(RemoveTree(dir));
    return;
  }
  LogIfError(RemoveTree(target));
  if (rename(dir.c_str(), target.c_str()) != 0) {
    LogIfError(ErrnoStatus(errno, absl::StrCat("cannot move ", dir, " to ", target)));
    LogIfError(RemoveTree(dir));
  }
  PruneFailed(failed_dir);
}

void RunDir::KeepNewestCheckpoint(const std::string& store, int64_t task_id,
                                  const std::set<int64_t>& branch_steps) const {
  const std::string task_dir = TaskCheckpointDir(store, task_id);
  if (!IsFolder(checkpoint_root_ + "/" + store) || !IsFolder(task_dir)) return;
  std::vector<std::string> steps = Names(task_dir);
  // Steps are zero-padded, so the order of names is the order of steps.
  steps.erase(std::remove_if(steps.begin(), steps.end(),
                             [](const std::string& n) { return !absl::StartsWith(n, "step-"); }),
              steps.end());
  for (size_t i = 0; i + 1 < steps.size(); ++i) {
    int64_t step = 0;
    const bool numbered = absl::SimpleAtoi(absl::StripPrefix(steps[i], "step-"), &step);
    if (numbered && branch_steps.contains(step)) continue;
    LogIfError(RemoveTree(task_dir + "/" + steps[i]));
  }
}

void RunDir::PruneFailed(const std::string& failed_dir) const {
  std::vector<int64_t> ids;
  for (const std::string& name : Names(failed_dir)) {
    int64_t id = 0;
    if (absl::SimpleAtoi(absl::StripPrefix(name, kAttemptPrefix), &id)) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  for (size_t i = 0; i + kFailedKept < ids.size(); ++i) {
    LogIfError(RemoveTree(absl::StrCat(failed_dir, "/", kAttemptPrefix, ids[i])));
  }
}

std::vector<int64_t> RunDir::ListAttempts(const std::string& store) const {
  std::vector<int64_t> ids;
  if (store.empty() || !IsFolder(StoreDir(store))) return ids;
  for (const std::string& name : Names(StoreDir(store))) {
    int64_t id = 0;
    if (absl::StartsWith(name, kAttemptPrefix) &&
        absl::SimpleAtoi(absl::StripPrefix(name, kAttemptPrefix), &id) &&
        IsFolder(AttemptDir(store, id))) {
      ids.push_back(id);
    }
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::vector<std::string> RunDir::ListStores() const {
  std::vector<std::string> stores;
  for (const std::string& name : Names(root_)) {
    if (IsFolder(StoreDir(name)) && HasAttempts(StoreDir(name))) stores.push_back(name);
  }
  return stores;
}

absl::StatusOr<Outcome> RunDir::RecoverOutcome(const std::string& store, int64_t attempt_id) const {
  const std::string dir = AttemptDir(store, attempt_id);
  LOGLOG_ASSIGN_OR_RETURN(const EventSummary summary, EventFile::Summarize(dir + "/events.jsonl"));
  const absl::StatusOr<std::string> text = ReadFile(dir + "/outcome.json");
  if (text.ok()) {
    absl::StatusOr<Outcome> outcome = OutcomeFromJson(*text);
    if (outcome.ok() && outcome->last_seq < summary.lines) return outcome;
    // Of a host that lost power, the events may be what was not on the disk yet.
    spdlog::warn("{}/outcome.json: {}; going by the events", dir,
                 outcome.ok() ? absl::StrCat("says that event ", outcome->last_seq,
                                             " is the last, and events.jsonl has ", summary.lines)
                              : std::string(outcome.status().message()));
  }
  const Outcome outcome = ClassifyUnseenEnd(summary, CountMembers(store, attempt_id));
  // With a full disk it is reported all the same, and found out again next time.
  LogIfError(WriteOutcome(store, attempt_id, outcome));
  return outcome;
}

bool RunDir::HoldsEventsOf(const std::string& store, const TaskOrder& order) const {
  const std::string dir = AttemptDir(store, order.attempt_id);
  const absl::StatusOr<std::string> task = ReadFile(dir + "/task.json");
  // As ComposeTask wrote it. Another task is of a store that was put back to an older
  // state and gave the number again.
  const absl::string_view ordered =
      absl::string_view(order.task_json).substr(0, order.task_json.rfind('}'));
  if (!task.ok() || !absl::StartsWith(*task, ordered)) return false;
  const absl::StatusOr<EventSummary> events = EventFile::Summarize(dir + "/events.jsonl");
  return !events.ok() || events->lines > 0;
}

std::vector<std::string> RunDir::ProcessRecords() const {
  std::vector<std::string> paths;
  for (const std::string& name : Names(root_)) {
    if (absl::StartsWith(name, kSurvivorPrefix)) paths.push_back(root_ + "/" + name);
  }
  for (const std::string& store : ListStores()) {
    for (const int64_t attempt_id : ListAttempts(store)) {
      paths.push_back(AttemptDir(store, attempt_id) + "/pid");
    }
  }
  return paths;
}

std::vector<Survivor> RunDir::KillSurvivors(int64_t timeout_ms, KillFunction kill_function) const {
  const int64_t deadline_ms = Clock::Real()->monotonic_ms() + timeout_ms;
  std::vector<Survivor> survivors;
  for (const std::string& path : ProcessRecords()) {
    const absl::StatusOr<std::string> identity = ReadFile(path);
    if (!identity.ok()) continue;
    const int64_t left_ms = deadline_ms - Clock::Real()->monotonic_ms();
    const absl::Status killed =
        KillRecordedProcess(*identity, std::max(left_ms, kKillAtLeastMs), kill_function);
    LogIfError(Annotate(killed, path));
    if (!absl::IsDeadlineExceeded(killed)) {
      LogIfError(RemoveTree(path));
      continue;
    }
    // Out of the attempt's folder, which goes as soon as the attempt is reported.
    std::string record =
        absl::StrCat(root_, "/", kSurvivorPrefix, identity->substr(0, identity->find(' ')));
    if (rename(path.c_str(), record.c_str()) != 0) record = path;
    survivors.push_back({.identity = *identity, .record = std::move(record)});
  }
  return survivors;
}

}  // namespace loglog::worker
