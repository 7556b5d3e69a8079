#include "coordinator/task_order.h"

#include "absl/strings/str_cat.h"

namespace loglog {

std::string TaskJson(int64_t attempt_id, const TaskRow& task,
                     absl::Span<const MemberConfig> members, const CheckpointSpec& checkpoint) {
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
  absl::StrAppend(&json, "],\"token_begin\":", task.token_begin, ",\"token_end\":", task.token_end,
                  ",\"checkpoint\":{\"every\":", checkpoint.every, ",\"keep\":", checkpoint.keep,
                  "}}");
  return json;
}

}  // namespace loglog
