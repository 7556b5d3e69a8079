#include "cli/task_file.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace loglog::cli {

absl::StatusOr<std::string> TaskFileFor(const v1::Trial& trial, absl::string_view data_root) {
  const nlohmann::json config = nlohmann::json::parse(trial.config_json(), nullptr, false);
  if (!config.is_object()) {
    return absl::FailedPreconditionError(absl::StrCat("the coordinator gave no config for ",
                                                      trial.name(), ": is it of another version?"));
  }
  const std::filesystem::path root = data_root.empty()
                                         ? std::filesystem::current_path()
                                         : std::filesystem::absolute(std::string(data_root));
  const nlohmann::json task = {
      {"format", 1},
      {"task_id", 0},
      {"attempt_id", 0},
      {"members", {{{"trial", trial.trial_sha256()}, {"seed", trial.seed()}, {"config", config}}}},
      {"token_begin", 0},
      {"token_end", trial.tokens_planned()},
      {"checkpoint", {{"every", 200}, {"keep", 2}}},
      {"data_root", root.lexically_normal().string()},
      {"device", "cpu"},
      {"threads", 1}};
  return task.dump(1) + "\n";
}

}  // namespace loglog::cli
