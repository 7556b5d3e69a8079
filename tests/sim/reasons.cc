#include "tests/sim/reasons.h"

#include <optional>
#include <regex>

#include "absl/strings/str_cat.h"
#include "tests/sim/select.h"

namespace loglog::sim {
namespace {

constexpr char kLive[] = " IN ('LEASED', 'RUNNING', 'STOPPING') ";

// The store as the rules below see it.
class Facts {
 public:
  Facts(const std::string& path, const SaidReason& said) : path_(path), said_(said) {
    const Rows rows = Select(
        path_,
        absl::StrCat("SELECT t.trial_id, t.cell_id, k.task_id, k.message, k.failure_count + "
                     "k.lost_count, t.state, k.not_before_ms FROM sweeps s JOIN sweep_trials "
                     "st ON st.sweep_id = s.sweep_id JOIN trials t ON t.trial_id = "
                     "st.trial_id JOIN tasks k ON k.task_id = t.task_id WHERE s.name = '",
                     said.sweep, "' AND st.number = ", said.number));
    if (rows.size() == 1) trial_ = rows[0];
  }
  // It has been leased since the reason was made up, or there is nothing to know.
  bool pending() const { return !trial_.empty() && trial_[5] == "PENDING"; }
  const std::string& trial_id() const { return trial_[0]; }
  const std::string& cell_id() const { return trial_[1]; }
  const std::string& task_id() const { return trial_[2]; }
  const std::string& message() const { return trial_[3]; }
  bool tried_before() const { return trial_[4] != "0"; }

  int64_t Count(const std::string& sql) const {
    return std::stoll(Select(path_, absl::StrCat("SELECT count(*) FROM ", sql))[0][0]);
  }
  bool Any(const std::string& sql) const { return Count(sql) > 0; }
  int64_t WorkersIn(const std::string& state) const {
    return Count(absl::StrCat("workers WHERE state = '", state, "'"));
  }
  int64_t LiveSlots() const {
    return std::stoll(
        Select(path_, "SELECT coalesce(sum(slots), 0) FROM workers WHERE state = 'LIVE'")[0][0]);
  }
  // Of LIVE workers, but for those of this very moment: they came after the reason.
  int64_t BusyLiveSlots() const {
    return Count(
        absl::StrCat("attempts a JOIN workers w ON w.worker_id = a.worker_id WHERE "
                     "w.state = 'LIVE' AND a.state",
                     kLive, "AND a.create_ms <> ", said_.now_wall_ms));
  }
  // Of the sweeps that want the trial, one has this in its schedule, or this name.
  bool Wants(const std::string& condition) const {
    return Any(
        absl::StrCat("sweep_trials st JOIN sweeps s ON s.sweep_id = st.sweep_id WHERE "
                     "st.trial_id = ",
                     trial_id(), " AND ", condition));
  }
  bool WantsSlots(const std::string& slots) const {
    return Wants(
        absl::StrCat("coalesce(json_extract(s.spec_json, '$.schedule.slots'), 1) = ", slots));
  }
  // "zone=a": what one of them selects.
  bool WantsLabels(const std::string& labels) const {
    return Wants(
        absl::StrCat("(SELECT group_concat(j.key || '=' || j.value) FROM "
                     "json_each(s.spec_json, '$.schedule.selector') j) = '",
                     labels, "'"));
  }
  int64_t SlotsOf(const std::string& worker_id) const {
    const Rows rows = Select(
        path_, absl::StrCat("SELECT slots FROM workers WHERE worker_id = '", worker_id, "'"));
    return rows.empty() ? 0 : std::stoll(rows[0][0]);
  }
  bool AllPaused() const {
    const std::string wanting = absl::StrCat(
        "sweep_trials st JOIN sweeps s ON s.sweep_id = st.sweep_id WHERE st.trial_id = ",
        trial_id(), " AND s.state = ");
    return Any(wanting + "'PAUSED'") && !Any(wanting + "'ACTIVE'");
  }

 private:
  const std::string path_;
  const SaidReason& said_;
  std::vector<std::string> trial_;
};

// "1 draining, 2 quarantined (...), workers/w0 is unhealthy (...)"
std::string WhatIsUntrueOfWorkers(const Facts& facts, const SaidReason& said,
                                  const std::string& list) {
  std::smatch found;
  const auto number = [&](const char* pattern) {
    return std::regex_search(list, found, std::regex(pattern)) ? std::stoll(found[1]) : 0;
  };
  const int64_t quarantined = number("(\\d+) quarantined");
  const int64_t draining = number("(\\d+) draining");
  const bool unhealthy =
      std::regex_search(list, found, std::regex("workers/(\\S+) is unhealthy \\("));
  if (unhealthy && !said.was_unhealthy(found[1])) return "that worker never said so";
  if (quarantined != facts.WorkersIn("QUARANTINED")) return "another number is quarantined";
  // Whether a drained or a live one is well, only the coordinator knows.
  const int64_t now_draining = facts.WorkersIn("DRAINING");
  if (!unhealthy && draining != now_draining) {
    return absl::StrCat(now_draining, " are draining");
  }
  if (!unhealthy && facts.WorkersIn("LIVE") > 0) return "there is a live one";
  return "";
}

constexpr char kOfWorkers[] = "( of workers with (\\S+))?";

// The rest of a reason: who is served before.
std::string WhatIsUntrueOfTheOrder(const Facts& facts, const std::string& rest) {
  std::smatch part;
  if (rest.empty()) return "";
  if (!std::regex_match(rest, part,
                        std::regex("(?:, )?behind (\\d+) of higher priority, such as those of "
                                   "sweeps/(\\S+) \\(priority (-?\\d+)\\)"))) {
    return "nobody knows what this means: " + rest;
  }
  const std::string priority = "coalesce(json_extract(s.spec_json, '$.schedule.priority'), 0)";
  if (!facts.Any(absl::StrCat("sweeps s WHERE s.name = '", std::string(part[2]), "' AND ", priority,
                              " = ", std::string(part[3])))) {
    return "that sweep has another priority";
  }
  return facts.Wants(absl::StrCat(priority, " < ", std::string(part[3])))
             ? ""
             : "no sweep that wants it has a lower priority";
}

// What schedules keep a trial from. Nothing when this is no such reason.
std::optional<std::string> WhatIsUntrueOfSchedules(const Facts& facts, const SaidReason& said,
                                                   const std::string& reason) {
  std::smatch part;
  const auto is = [&](const std::string& pattern) {
    return std::regex_match(reason, part, std::regex(pattern));
  };
  const auto labels_are_wrong = [&](const std::string& labels) {
    return !labels.empty() && !facts.WantsLabels(labels);
  };
  if (is("stopped on workers/(\\S+): preempted by sweeps/(\\S+), whose priority is (-?\\d+); "
         "([^]*)")) {
    if (!facts.Any(absl::StrCat("attempts WHERE stop_cause = 'PREEMPTED' AND worker_id = '",
                                std::string(part[1]), "' AND task_id = ", facts.task_id()))) {
      return "it was not preempted there";
    }
    return WhatIsUntrueOfSchedules(facts, said, part[4]);
  }
  if (is("schedule.max_concurrent of sweeps/(\\S+) is (\\d+), and so many of its trials run")) {
    return facts.Wants(absl::StrCat("s.name = '", std::string(part[1]),
                                    "' AND json_extract(s.spec_json, "
                                    "'$.schedule.max_concurrent') = ",
                                    std::string(part[2])))
               ? ""
               : "it has another limit";
  }
  if (is("no worker with (\\S+) is connected, and sweeps/(\\S+) selects only such; .*")) {
    if (labels_are_wrong(part[1])) return "it selects other workers";
    return facts.Any(absl::StrCat("workers WHERE state IN ('LIVE', 'DRAINING', 'QUARANTINED') AND "
                                  "'zone=' || json_extract(labels_json, '$.zone') = '",
                                  std::string(part[1]), "'"))
               ? "there is one"
               : "";
  }
  if (is("no worker with (\\S+) takes tasks: [^]*")) {
    return labels_are_wrong(part[1]) ? "it selects other workers" : "";
  }
  if (is("each of its trials needs (\\d+) slots of one worker; (?:the largest(?: with (\\S+))?, "
         "workers/(\\S+), has (\\d+)|workers/(\\S+) has so many, but takes no tasks now)")) {
    if (!facts.WantsSlots(part[1])) return "it needs another number of slots";
    if (labels_are_wrong(part[2])) return "it selects other workers";
    const bool none = part[3].matched;
    const int64_t slots = facts.SlotsOf(none ? part[3] : part[5]);
    if (none && slots != std::stoll(part[4])) return "that worker has another number of slots";
    return none == (slots < std::stoll(part[1])) ? "" : "that worker is large enough, or not";
  }
  if (is("waits for workers/(\\S+), where trials of lower priority are stopping to make room")) {
    return facts.SlotsOf(part[1]) > 0 ? "" : "there is no such worker";
  }
  if (is("waits for (\\d+) slots of workers/(\\S+), which are kept for sweeps/(\\S+) as they "
         "become free; (\\d+) are")) {
    if (!facts.WantsSlots(part[1])) return "it needs another number of slots";
    if (!facts.Wants(absl::StrCat("s.name = '", std::string(part[3]), "'"))) {
      return "that sweep does not want it";
    }
    return facts.SlotsOf(part[2]) >= std::stoll(part[1]) ? "" : "that worker is too small";
  }
  if (is("free slots of workers/(\\S+) are kept for sweeps/(\\S+), which comes first and waits "
         "for (\\d+) of them(,[^]*)?")) {
    if (facts.SlotsOf(part[1]) < std::stoll(part[3])) return "that worker is too small";
    return WhatIsUntrueOfTheOrder(facts, part[4]);
  }
  if (is(absl::StrCat("waits for (\\d+) free slots of one worker; of (\\d+) slots", kOfWorkers,
                      ", (\\d+) are busy(,[^]*)?"))) {
    if (!facts.WantsSlots(part[1])) return "it needs another number of slots";
    if (labels_are_wrong(part[4])) return "it selects other workers";
    return WhatIsUntrueOfTheOrder(facts, part[6]);
  }
  if (is(absl::StrCat("waits for (?:a slot; all (\\d+)|the one slot there is)", kOfWorkers,
                      "(?: are busy)?(,[^]*)?"))) {
    if (labels_are_wrong(part[3])) return "it selects other workers";
    const int64_t slots = part[1].matched ? std::stoll(part[1]) : 1;
    if (slots > facts.LiveSlots()) return "there are not so many slots";
    return WhatIsUntrueOfTheOrder(facts, part[4]);
  }
  if (is("behind [^]*")) return WhatIsUntrueOfTheOrder(facts, reason);
  return std::nullopt;
}

}  // namespace

std::string WhatIsUntrue(const std::string& store_path, const SaidReason& said) {
  const SelectOften fast(store_path);
  const Facts facts(store_path, said);
  if (!facts.pending()) return "";
  const std::string& reason = said.reason;
  std::smatch part;
  const auto is = [&](const char* pattern) {
    return std::regex_match(reason, part, std::regex(pattern));
  };
  if (is("its earlier attempt (\\d+) on workers/(\\S+) is stopping(?: \\([^]*\\))?")) {
    return facts.Any(absl::StrCat(
               "attempts WHERE state = 'STOPPING' AND attempt_id = ", std::string(part[1]),
               " AND worker_id = '", std::string(part[2]), "' AND task_id = ", facts.task_id()))
               ? ""
               : "no such attempt of it is stopping";
  }
  if (is("the sweep is paused; `loglog sweep resume (\\S+)`")) {
    if (!facts.AllPaused()) return "a sweep that wants it is not paused";
    return facts.Any(absl::StrCat("sweeps WHERE state = 'PAUSED' AND name = '",
                                  std::string(part[1]), "'"))
               ? ""
               : "not that one is paused";
  }
  if (facts.AllPaused()) return "it is not said that every sweep that wants it is paused";
  if (is("waits for task (\\d+), which it continues")) {
    return facts.Any(absl::StrCat("task_deps d JOIN tasks p ON p.task_id = d.parent_task_id WHERE "
                                  "p.state <> 'DONE' AND d.task_id = ",
                                  facts.task_id(), " AND p.task_id = ", std::string(part[1])))
               ? ""
               : "it waits for no such task";
  }
  if (is("tried again in [0-9a-z]+: ([^]*)")) {
    if (!facts.tried_before()) return "it was never tried";
    return facts.message() == part[1] ? "" : "the store says: " + facts.message();
  }
  if (const auto untrue = WhatIsUntrueOfSchedules(facts, said, reason)) return *untrue;
  if (is("no worker is connected; .*")) {
    return facts.Any("workers WHERE state IN ('LIVE', 'DRAINING', 'QUARANTINED')") ? "there is one"
                                                                                   : "";
  }
  if (is("no worker takes tasks: ([^]*)")) return WhatIsUntrueOfWorkers(facts, said, part[1]);
  if (is("failed on workers/(\\S+); waits for a slot of another worker")) {
    return facts.Any(absl::StrCat("attempts a JOIN task_members m ON m.task_id = a.task_id JOIN "
                                  "trials t ON t.trial_id = m.trial_id WHERE a.state IN ('FAILED', "
                                  "'OUT_OF_MEMORY') AND t.cell_id = ",
                                  facts.cell_id(), " AND a.worker_id = '", std::string(part[1]),
                                  "'"))
               ? ""
               : "its cell never failed there";
  }
  if (is("its checkpoint is on workers/(\\S+); goes elsewhere in [0-9a-z]+")) {
    return facts.Any(absl::StrCat("checkpoints WHERE task_id = ", facts.task_id(),
                                  " AND worker_id = '", std::string(part[1]), "'"))
               ? ""
               : "it has no checkpoint there";
  }
  if (reason == "a slot is free; starts when its worker calls next") {
    return facts.BusyLiveSlots() < facts.LiveSlots() ? "" : "none is";
  }
  return "nobody has told tests/sim/reasons.cc when this is true";
}

}  // namespace loglog::sim
