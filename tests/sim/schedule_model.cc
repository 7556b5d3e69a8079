#include "tests/sim/schedule_model.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace loglog::sim {
namespace {

using nlohmann::json;

std::map<std::string, std::string> TextMap(const json& object) {
  std::map<std::string, std::string> map;
  for (const auto& [key, value] : object.items()) map[key] = value.get<std::string>();
  return map;
}

bool Includes(const std::map<std::string, std::string>& labels,
              const std::map<std::string, std::string>& selector) {
  return std::includes(labels.begin(), labels.end(), selector.begin(), selector.end());
}

}  // namespace

void ScheduleModel::LoadSweeps(const Select& select) {
  for (const auto& row : select("SELECT sweep_id, spec_json FROM sweeps")) {
    const auto [it, is_new] = sweeps_.try_emplace(std::stoll(row[0]));
    if (!is_new) continue;
    const json spec = json::parse(row[1]);
    const auto schedule = spec.find("schedule");
    if (schedule == spec.end()) continue;
    it->second.selector = TextMap(schedule->at("selector"));
    it->second.slots = schedule->at("slots").get<int64_t>();
    const json& most = schedule->at("max_concurrent");
    if (!most.is_null()) it->second.max_concurrent = most.get<int64_t>();
  }
  for (const auto& row : select("SELECT trial_id, sweep_id FROM sweep_trials")) {
    sweeps_of_[std::stoll(row[0])].insert(std::stoll(row[1]));
  }
}

void ScheduleModel::EndAttempt(int64_t attempt_id) {
  const auto live = trial_of_.find(attempt_id);
  if (live == trial_of_.end()) return;
  for (const int64_t sweep_id : sweeps_of_[live->second]) {
    sweeps_[sweep_id].running.erase(attempt_id);
  }
  trial_of_.erase(live);
}

// Its attempt may still be leaving; to the sweep it does not run any more.
void ScheduleModel::EndTrial(int64_t trial_id) {
  for (const int64_t sweep_id : sweeps_of_[trial_id]) {
    std::erase_if(sweeps_[sweep_id].running, [&](int64_t attempt_id) {
      const auto live = trial_of_.find(attempt_id);
      return live != trial_of_.end() && live->second == trial_id;
    });
  }
}

std::string ScheduleModel::CheckLease(const Event& event) const {
  const json detail = json::parse(event.detail_json);
  const auto held = detail.find("slots");
  const int64_t slots = held == detail.end() ? 1 : static_cast<int64_t>(held->size());
  const auto labels = labels_.find(event.worker_id);
  std::string why;
  for (const int64_t sweep_id : sweeps_of_.at(event.trial_id)) {
    const Sweep& sweep = sweeps_.at(sweep_id);
    if (!sweep.wants) continue;
    const int64_t running = static_cast<int64_t>(sweep.running.size());
    std::string wrong;
    if (sweep.paused) wrong = "is paused";
    if (slots != sweep.slots) wrong = absl::StrCat("asks for ", sweep.slots, " slots");
    if (sweep.max_concurrent > 0 && running >= sweep.max_concurrent) {
      wrong = absl::StrCat("has ", running, " trials running and allows ", sweep.max_concurrent);
    }
    if (!sweep.selector.empty() &&
        (labels == labels_.end() || !Includes(labels->second, sweep.selector))) {
      wrong = "does not select this worker";
    }
    if (wrong.empty()) return "";
    absl::StrAppend(&why, "; sweep ", sweep_id, " ", wrong);
  }
  return absl::StrCat("attempt ", event.attempt_id, " at trial ", event.trial_id, " with ", slots,
                      " slot(s) of ", event.worker_id, " is for no sweep", why);
}

void ScheduleModel::On(const Event& event) {
  const std::string& kind = event.kind;
  if (kind == "worker.registered") {
    labels_[event.worker_id] = TextMap(json::parse(event.detail_json).at("labels"));
  } else if (kind == "sweep.created" || kind == "sweep.reopened") {
    Sweep& sweep = sweeps_[event.sweep_id];
    sweep.wants = true;
    sweep.paused = false;
  } else if (kind == "sweep.paused") {
    sweeps_[event.sweep_id].paused = true;
  } else if (kind == "sweep.resumed") {
    sweeps_[event.sweep_id].paused = false;
  } else if (kind == "sweep.done" || kind == "sweep.cancelled") {
    Sweep& sweep = sweeps_[event.sweep_id];
    sweep.wants = false;
    sweep.running.clear();
  } else if (kind == "attempt.ended") {
    EndAttempt(event.attempt_id);
  } else if (kind == "trial.done" || kind == "trial.diverged" || kind == "trial.failed" ||
             kind == "trial.stopped" || kind == "trial.cancelled") {
    EndTrial(event.trial_id);
  }
}

std::string ScheduleModel::Look(const Select& select) {
  const Rows rows = select(absl::StrCat(
      "SELECT event_id, kind, coalesce(sweep_id, 0), coalesce(trial_id, 0), coalesce(attempt_id, "
      "0), coalesce(worker_id, ''), detail_json FROM events WHERE event_id > ",
      last_event_id_, " ORDER BY event_id"));
  if (rows.empty()) return "";
  LoadSweeps(select);
  for (const auto& row : rows) {
    const Event event{std::stoll(row[0]),
                      row[1],
                      std::stoll(row[2]),
                      std::stoll(row[3]),
                      std::stoll(row[4]),
                      row[5],
                      row[6]};
    last_event_id_ = event.event_id;
    if (event.kind != "attempt.leased") {
      On(event);
      continue;
    }
    // One event for each sweep that counts the trial: the first speaks for all.
    if (!trial_of_.try_emplace(event.attempt_id, event.trial_id).second) continue;
    const std::string breach = CheckLease(event);
    if (!breach.empty()) return breach;
    for (const int64_t sweep_id : sweeps_of_[event.trial_id]) {
      if (sweeps_[sweep_id].wants) sweeps_[sweep_id].running.insert(event.attempt_id);
    }
  }
  return "";
}

}  // namespace loglog::sim
