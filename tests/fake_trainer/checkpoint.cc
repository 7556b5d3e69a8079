#include "tests/fake_trainer/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>

#include "shards/sha256.h"

namespace loglog {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string StepName(int64_t step) {
  char name[32];
  std::snprintf(name, sizeof(name), "step-%08lld", static_cast<long long>(step));
  return name;
}

void WriteAndSync(const fs::path& path, const std::string& bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool written =
      fd >= 0 && write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) &&
      fsync(fd) == 0;
  if (fd >= 0) close(fd);
  if (!written) throw std::runtime_error("cannot write " + path.string());
}

std::optional<std::string> Slurp(const fs::path& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The checkpoints in the folder, oldest first.
std::vector<fs::path> Checkpoints(const std::string& dir) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir, error)) {
    if (entry.path().filename().string().rfind("step-", 0) == 0) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// Fills the members' chains; the step, or nothing when the checkpoint is not valid.
std::optional<int64_t> TryLoad(const fs::path& path, const std::string& sha256, Task* task) {
  const auto manifest = Slurp(path / "manifest.json");
  const auto state = Slurp(path / "state.json");
  if (!manifest || !state || (!sha256.empty() && Sha256Hex(*manifest) != sha256)) return {};
  const Json described = Json::parse(*manifest, nullptr, false);
  if (!described.is_object() || described.value("sha256", "") != Sha256Hex(*state)) return {};
  const Json json = Json::parse(*state);
  if (json["chains"].size() != task->members.size()) return {};
  for (size_t i = 0; i < task->members.size(); ++i) {
    task->members[i].chain = json["chains"][i].get<uint64_t>();
  }
  return json["step"].get<int64_t>();
}

}  // namespace

CheckpointInfo SaveCheckpoint(const Task& task, int64_t step) {
  Json state = {{"step", step}, {"chains", Json::array()}};
  for (const Member& member : task.members) state["chains"].push_back(member.chain);
  const std::string state_text = state.dump();
  const std::string manifest =
      Json(
          {{"file", "state.json"}, {"bytes", state_text.size()}, {"sha256", Sha256Hex(state_text)}})
          .dump();
  const fs::path dir = task.checkpoint_dir;
  const fs::path temporary = dir / (".tmp-" + StepName(step));
  const fs::path path = dir / StepName(step);
  fs::remove_all(temporary);
  fs::create_directories(temporary);
  WriteAndSync(temporary / "state.json", state_text);
  WriteAndSync(temporary / "manifest.json", manifest);
  fs::remove_all(path);
  fs::rename(temporary, path);
  std::vector<fs::path> all = Checkpoints(task.checkpoint_dir);
  for (size_t i = 0; i + task.checkpoint_keep < all.size(); ++i) fs::remove_all(all[i]);
  return {.step = step,
          .path = path.string(),
          .sha256 = Sha256Hex(manifest),
          .bytes = static_cast<int64_t>(state_text.size() + manifest.size())};
}

int64_t LoadCheckpoint(Task* task) {
  if (task->resume_path.empty()) return task->step_begin;
  if (const auto step = TryLoad(task->resume_path, task->resume_sha256, task)) return *step;
  std::fprintf(stderr, "checkpoint %s is missing or damaged; trying older ones\n",
               task->resume_path.c_str());
  std::vector<fs::path> all = Checkpoints(task->checkpoint_dir);
  const std::string wanted = fs::path(task->resume_path).filename().string();
  for (auto path = all.rbegin(); path != all.rend(); ++path) {
    if (path->filename().string() >= wanted) continue;
    if (const auto step = TryLoad(*path, "", task)) return *step;
  }
  return task->step_begin;
}

}  // namespace loglog
