// What must hold of workers: whom they may count on, and who may not count on them.
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/model.h"
#include "tests/sim/select.h"

namespace loglog::sim {
namespace {

// On so many different cells a host fails in a row, and is quarantined.
constexpr size_t kQuarantineFailures = 5;

}  // namespace

void Model::OnAnswered(const std::string& request_id, const absl::Status& status) {
  if (status.ok()) {
    done_requests_.insert(request_id);
  } else if (done_requests_.count(request_id) > 0 && !absl::IsUnavailable(status) &&
             !absl::IsResourceExhausted(status)) {
    Breach(absl::StrCat(
        request_id, " was carried out, and is refused when it is sent again: ", status.ToString()));
  }
}

std::vector<int64_t> Model::CalledLost(const std::string& path) {
  std::vector<int64_t> lost;
  for (const auto& row :
       Select(path,
              "SELECT attempt_id FROM attempts WHERE state = 'LOST' AND message LIKE '%was silent "
              "for longer than its lease%'")) {
    lost.push_back(std::stoll(row[0]));
  }
  return lost;
}

// A daemon that starts anew runs nothing: what it does not hold is revoked at once.
void Model::CheckBoots(const std::string& path) {
  for (const auto& row :
       Select(path,
              "SELECT w.worker_id, w.boot_id, a.attempt_id, a.session_epoch FROM workers w JOIN "
              "attempts a ON a.worker_id = w.worker_id WHERE a.state IN ('LEASED', 'RUNNING', "
              "'STOPPING')")) {
    const auto boot = boots_.find(row[0]);
    if (boot == boots_.end() || boot->second.id != row.at(1)) continue;
    const int64_t attempt_id = std::stoll(row[2]);
    if (std::stoll(row[3]) < boot->second.epoch && boot->second.held.count(attempt_id) == 0) {
      Breach(absl::StrCat("attempt ", attempt_id, " still counts as live on ", row[0],
                          ", whose daemon was started anew and does not hold it"));
    }
  }
}

// What a worker may forget is in the store, unless somebody wanted it no more.
void Model::CheckForgotten(const std::string& path) {
  if (retried_) return;
  for (const int64_t attempt_id : forgotten_) {
    ExpectNone(path, "an attempt ended well and was forgotten, but is not stored so",
               absl::StrCat("SELECT a.attempt_id, a.state, t.state FROM attempts a JOIN tasks t ON "
                            "t.task_id = a.task_id WHERE a.attempt_id = ",
                            attempt_id,
                            " AND t.last_attempt_id = a.attempt_id AND t.state <> 'CANCELLED' AND "
                            "a.state NOT IN ('DONE', 'DIVERGED', 'CANCELLED')"));
  }
  forgotten_.clear();
}

// Counts less than the coordinator does, which need not remember failures that it read in no
// event: a host that has this many is quarantined for sure.
void Model::CheckQuarantine(const std::string& path) {
  const Rows rows =
      Select(path, absl::StrCat("SELECT e.event_id, e.kind, e.worker_id, "
                                "json_extract(e.detail_json, '$.state'), t.cell_id FROM events e "
                                "LEFT JOIN trials t ON t.trial_id = e.trial_id WHERE e.event_id > ",
                                last_event_id_,
                                " AND (e.kind LIKE 'worker.%' OR e.kind = 'attempt.ended') ORDER "
                                "BY e.event_id"));
  if (!rows.empty()) last_event_id_ = std::stoll(rows.back()[0]);
  if (std::exchange(reloaded_, false)) {
    // Some of these came before and some after; none is sure.
    hosts_.clear();
    return;
  }
  for (const auto& row : rows) {
    HostRecord& host = hosts_[row[2]];
    if (row[1] == "worker.quarantined") {
      host.quarantined = true;
    } else if (row[1] != "attempt.ended") {
      host = HostRecord();
    } else if (row[3] == "DONE" || row[3] == "DIVERGED") {
      host.failed_cells.clear();
    } else if (row[3] == "FAILED" || row[3] == "OUT_OF_MEMORY" || row[3] == "REFUSED" ||
               row[3] == "DEVICE_ERROR") {
      host.failed_cells.insert(std::stoll(row[4]));
    }
  }
  for (const auto& [worker_id, host] : hosts_) {
    if (host.quarantined || host.failed_cells.size() < kQuarantineFailures) continue;
    Breach(absl::StrCat(worker_id, " failed on ", host.failed_cells.size(),
                        " different cells in a row and still gets work"));
  }
}

}  // namespace loglog::sim
