#include "coordinator/task_order.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace loglog {

std::string TaskJson(int64_t attempt_id, const TaskRow& task, const StartPoint& start,
                     absl::Span<const BranchRow> branches, absl::Span<const MemberConfig> members,
                     const CheckpointSpec& checkpoint) {
  std::string json = absl::StrCat("{\"format\":1,\"task_id\":", task.task_id,
                                  ",\"attempt_id\":", attempt_id, ",\"members\":[");
  int written = 0;
  for (const MemberConfig& member : members) {
    // Trials that share a trunk are one member of it: the first speaks for all.
    if (member.member < written) continue;
    absl::StrAppend(&json, written > 0 ? "," : "", "{\"trial\":\"", member.trial_sha256,
                    "\",\"seed\":", member.seed, ",\"config\":", member.config_json, "}");
    ++written;
  }
  absl::StrAppend(&json, "],\"token_begin\":", start.branches ? task.token_begin : 0,
                  ",\"token_end\":", task.token_end,
                  ",\"checkpoint\":{\"every\":", checkpoint.every, ",\"keep\":", checkpoint.keep);
  std::vector<int64_t> steps;
  for (const BranchRow& branch : branches) {
    if (steps.empty() || steps.back() != branch.step) steps.push_back(branch.step);
  }
  if (!steps.empty()) absl::StrAppend(&json, ",\"at\":[", absl::StrJoin(steps, ","), "]");
  absl::StrAppend(&json, "}}");
  return json;
}

}  // namespace loglog
