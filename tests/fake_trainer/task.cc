#include "tests/fake_trainer/task.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>

#include "shards/sha256.h"

namespace loglog {
namespace {

using Json = nlohmann::json;

const std::set<std::string> kKnown = {"format",         "task_id",   "attempt_id", "members",
                                      "token_begin",    "token_end", "checkpoint", "run_dir",
                                      "checkpoint_dir", "data_root", "device",     "threads",
                                      "resume",         "devices",   "ranks"};

// A number at a path of two names, or `otherwise` where unset.
double Number(const Json& config, const char* section, const char* name, double otherwise) {
  if (!config.contains(section) || !config[section].contains(name)) return otherwise;
  const Json& value = config[section][name];
  return value.is_number() ? value.get<double>() : otherwise;
}

Member ReadMember(const Json& member) {
  const Json& config = member.at("config");
  Member result;
  result.seed = member.at("seed").get<int64_t>();
  const double layers = Number(config, "model", "layers", 2);
  const double d_model = Number(config, "model", "d_model", 32);
  result.params = 12 * layers * d_model * d_model;
  result.beta = 0.15 + 0.1 * Number(config, "init", "gamma", 0.5) +
                0.1 * Number(config, "train", "weight_decay", 0.1);
  Sha256 hash;
  hash.Update(config.dump());
  hash.Update(std::to_string(result.seed));
  result.chain = hash.Prefix64();
  return result;
}

}  // namespace

Task ReadTask(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be opened");
  std::stringstream text;
  text << file.rdbuf();
  try {
    const Json json = Json::parse(text.str());
    for (const auto& [name, value] : json.items()) {
      if (kKnown.count(name) == 0) throw std::runtime_error("unknown key '" + name + "'");
    }
    if (json.at("format") != 1) throw std::runtime_error("format is not 1");
    const Json& first = json.at("members").at(0).at("config");
    Task task;
    task.attempt_id = json.value("attempt_id", int64_t{0});
    task.task_id = json.value("task_id", int64_t{0});
    task.batch_tokens = static_cast<int64_t>(Number(first, "train", "batch_tokens", 1024));
    const int64_t tokens =
        static_cast<int64_t>(Number(first, "train", "tokens", 100.0 * task.batch_tokens));
    task.step_begin = json.value("token_begin", int64_t{0}) / task.batch_tokens;
    task.step_end = json.value("token_end", tokens) / task.batch_tokens;
    task.row_every = static_cast<int64_t>(Number(first, "metrics", "every", 10));
    task.eval_every = std::max<int64_t>(
        1, std::llround(Number(first, "eval", "every", 0.25) * static_cast<double>(task.step_end)));
    if (json.contains("checkpoint")) {
      task.checkpoint_every = json["checkpoint"].value("every", int64_t{200});
      task.checkpoint_keep = json["checkpoint"].value("keep", int64_t{2});
    }
    task.run_dir = json.value("run_dir", std::filesystem::absolute(path).parent_path().string());
    task.checkpoint_dir = json.value("checkpoint_dir", task.run_dir + "/checkpoints");
    if (json.contains("resume")) {
      task.resume_path = json["resume"].at("path").get<std::string>();
      task.resume_sha256 = json["resume"].at("sha256").get<std::string>();
    }
    for (const Json& member : json.at("members")) task.members.push_back(ReadMember(member));
    return task;
  } catch (const std::exception& e) {
    throw std::runtime_error(path + ": " + e.what());
  }
}

}  // namespace loglog
