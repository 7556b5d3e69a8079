#include "cli/task_file.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace loglog::cli {
namespace {

// bf16 was trained on a GPU, and only a GPU gives its numbers again.
std::string DeviceFor(const nlohmann::json& config) {
  const nlohmann::json::json_pointer precision("/train/precision");
  return config.value(precision, nlohmann::json()) == "bf16" ? "cuda:0" : "cpu";
}

}  // namespace

absl::StatusOr<std::string> TaskFileFor(const v1::Trial& trial, const TaskOptions& options) {
  const nlohmann::json config = nlohmann::json::parse(trial.config_json(), nullptr, false);
  if (!config.is_object()) {
    return absl::FailedPreconditionError(absl::StrCat("the coordinator gave no config for ",
                                                      trial.name(), ": is it of another version?"));
  }
  std::error_code error;
  const std::filesystem::path root = options.data_root.empty()
                                         ? std::filesystem::current_path(error)
                                         : std::filesystem::absolute(options.data_root, error);
  if (error) {
    return absl::FailedPreconditionError(
        absl::StrCat("the current folder is gone (", error.message(),
                     "): change to another, or give --data-root as an absolute path"));
  }
  const nlohmann::json task = {
      {"format", 1},
      {"task_id", 0},
      {"attempt_id", 0},
      {"members", {{{"trial", trial.trial_sha256()}, {"seed", trial.seed()}, {"config", config}}}},
      {"token_begin", 0},
      {"token_end", trial.tokens_planned()},
      {"checkpoint", {{"every", options.checkpoint_every}, {"keep", options.checkpoint_keep}}},
      {"data_root", root.lexically_normal().string()},
      {"device", options.device.empty() ? DeviceFor(config) : options.device},
      {"threads", 1}};
  return task.dump(1) + "\n";
}

}  // namespace loglog::cli
