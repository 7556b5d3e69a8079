#include "trainer/checkpoint.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "shards/file_writer.h"
#include "shards/json_integer.h"
#include "shards/sha256.h"
#include "trainer/branch.h"
#include "trainer/json_reader.h"
#include "trainer/safetensors.h"

namespace loglog {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr char kFormat[] = "loglog-checkpoint";
constexpr int kVersion = 1;
constexpr char kPrefix[] = "step-";
constexpr char kUnfinished[] = ".unfinished-";
constexpr char kStateFile[] = "state.safetensors";
constexpr char kLoopFile[] = "loop.json";
constexpr char kManifestFile[] = "manifest.json";

std::string StepName(int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "%s%08lld", kPrefix, static_cast<long long>(step));
  return name;
}

// The step of a checkpoint's folder; -1 for any other name.
int64_t StepOf(const std::string& name) {
  if (name.rfind(kPrefix, 0) != 0) return -1;
  const std::string digits = name.substr(std::strlen(kPrefix));
  if (digits.size() < 8 || digits.size() > 18 ||
      digits.find_first_not_of("0123456789") != std::string::npos) {
    return -1;
  }
  return std::stoll(digits);
}

// Steps that have a folder in `dir`, highest first.
std::vector<int64_t> StepsIn(const std::string& dir) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir, error)) {
    const int64_t step = StepOf(entry.path().filename().string());
    if (step >= 0) steps.push_back(step);
  }
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

struct WrittenFile {
  std::string name;
  int64_t bytes = 0;
  std::string sha256;
};

WrittenFile WriteFile(const std::string& folder, const std::string& name, std::string_view head,
                      std::string_view body) {
  const int64_t bytes = static_cast<int64_t>(head.size() + body.size());
  FileWriter file(folder + "/" + name, bytes);
  file.Append(head);
  file.Append(body);
  file.Close();
  return {name, bytes, file.HexSha256()};
}

std::string ManifestText(const Snapshot& snapshot, const std::vector<WrittenFile>& files) {
  ordered_json listed = ordered_json::array();
  for (const WrittenFile& file : files) {
    listed.push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  const ordered_json manifest = {{"format", kFormat},
                                 {"version", kVersion},
                                 {"step", snapshot.step},
                                 {"config_sha256", snapshot.identity.config_sha256},
                                 {"data_sha256", snapshot.identity.data_sha256},
                                 {"trainer_version", snapshot.identity.trainer_version},
                                 {"files", listed}};
  return manifest.dump(2) + "\n";
}

void Rename(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    const int error = errno;
    throw FileError(to + ": cannot be put in place: " + std::strerror(error), error);
  }
}

// Checkpoints that are held back for the reader of the events, at most so many in the time
// that it may lag.
constexpr int kHeldInLag = 4;

struct Dated {
  int64_t step = 0;
  fs::file_time_type made;
};

// Checkpoints of `dir` up to `step`, oldest first. A folder's time is that of its manifest.
std::vector<Dated> DatedSteps(const std::string& dir, int64_t step) {
  std::vector<Dated> dated;
  for (const int64_t older : StepsIn(dir)) {
    std::error_code error;
    const auto made = fs::last_write_time(dir + "/" + StepName(older), error);
    if (older <= step && !error) dated.push_back({older, made});
  }
  std::reverse(dated.begin(), dated.end());
  return dated;
}

// The steps to remove. Ages are against the newest one's time, by the clock of the disk.
std::vector<int64_t> Doomed(const std::vector<Dated>& dated, const CheckpointOptions& options) {
  std::vector<int64_t> doomed;
  const size_t keep = static_cast<size_t>(options.keep);
  std::optional<fs::file_time_type> held;
  for (size_t i = 0; i + keep < dated.size(); ++i) {
    if (options.kept_steps.count(dated[i].step) > 0) continue;
    const bool known = dated.back().made - dated[i + 1].made >= options.events_lag;
    const bool crowded = held && dated[i].made - *held < options.events_lag / kHeldInLag;
    if (known || crowded) {
      doomed.push_back(dated[i].step);
    } else {
      held = dated[i].made;
    }
  }
  return doomed;
}

// The errno behind an error of a file or folder; 0 for another error.
int ErrnoOf(const std::exception& error) {
  if (const auto* file = dynamic_cast<const FileError*>(&error)) return file->error();
  if (const auto* folder = dynamic_cast<const fs::filesystem_error*>(&error)) {
    return folder->code().value();
  }
  return 0;
}

std::string FreeBytes(const std::string& dir) {
  std::error_code error;
  const fs::space_info space = fs::space(dir, error);
  return error ? "" : ", where " + std::to_string(space.available) + " bytes are free";
}

// Says what the error of a commit means for the run; an errno is handed on.
[[noreturn]] void ThrowNotWritten(int64_t step, int64_t needed, const std::string& dir,
                                  const std::exception& error) {
  const std::string text = "the checkpoint of step " + std::to_string(step) +
                           " was not written (it takes " + std::to_string(needed) + " bytes in " +
                           dir + FreeBytes(dir) +
                           "; older checkpoints are intact): " + error.what();
  if (const int number = ErrnoOf(error); number != 0) throw FileError(text, number);
  throw std::runtime_error(text);
}

std::string ReadChecked(const std::string& folder, const ordered_json& listed) {
  const std::string name = listed.at("name").get<std::string>();
  if (name != kStateFile && name != kLoopFile) {
    throw DamagedCheckpoint(folder + "/" + kManifestFile + ": lists a file '" + name +
                            "', which no checkpoint has");
  }
  const std::string path = folder + "/" + name;
  std::string contents = ReadWholeFile(path);
  if (static_cast<int64_t>(contents.size()) != IntegerAt(listed, "bytes")) {
    throw DamagedCheckpoint(path + ": has " + std::to_string(contents.size()) +
                            " bytes where its manifest says " + listed.at("bytes").dump());
  }
  if (Sha256Hex(contents) != listed.at("sha256").get<std::string>()) {
    throw DamagedCheckpoint(path + ": its contents do not match its manifest's SHA-256");
  }
  return contents;
}

void CheckIdentity(const std::string& path, const ordered_json& manifest,
                   const CheckpointIdentity& identity) {
  const auto field = [&](const char* name) { return manifest.at(name).get<std::string>(); };
  const auto sides = [](const std::string& theirs, const std::string& ours) {
    return " (" + theirs.substr(0, 12) + ") than this task's (" + ours.substr(0, 12) + "); ";
  };
  if (const std::string theirs = field("config_sha256"); theirs != identity.config_sha256) {
    throw ConfigError(path + ": is a checkpoint of another configuration" +
                      sides(theirs, identity.config_sha256) +
                      "resume the task that wrote it, or choose another checkpoint_dir");
  }
  // The configuration being the same, the files that it names differ from host to host.
  if (const std::string theirs = field("data_sha256"); theirs != identity.data_sha256) {
    throw DataUnavailable(path + ": is a checkpoint of another data set" +
                          sides(theirs, identity.data_sha256) +
                          "give this host the shards it was trained on, or point "
                          "loglog-worker --data-root at them");
  }
}

// The manifest of a checkpoint that this trainer can read; `sha256`, unless empty, is what it must
// hash to.
ordered_json ReadManifest(const std::string& path, const std::string& sha256) {
  const std::string text = ReadWholeFile(path + "/" + kManifestFile);
  if (!sha256.empty() && Sha256Hex(text) != sha256) {
    throw DamagedCheckpoint(path + "/" + kManifestFile + ": is not the one asked for (SHA-256 " +
                            Sha256Hex(text).substr(0, 12) + ", expected " + sha256.substr(0, 12) +
                            ")");
  }
  ordered_json manifest = ParseJsonShallow(text, path + "/" + kManifestFile);
  if (manifest.at("format") != kFormat || manifest.at("version") != kVersion) {
    throw ConfigError(path + ": is a checkpoint of format " + manifest.at("format").dump() +
                      " version " + manifest.at("version").dump() + ", and this trainer reads " +
                      kFormat + " version " + std::to_string(kVersion) +
                      "; resume it with the trainer that wrote it");
  }
  return manifest;
}

LoadedCheckpoint ReadFiles(const std::string& path, const ordered_json& manifest) {
  LoadedCheckpoint loaded{.step = IntegerAt(manifest, "step"),
                          .path = path,
                          .trainer_version = manifest.at("trainer_version").get<std::string>(),
                          .data_sha256 = manifest.at("data_sha256").get<std::string>()};
  for (const ordered_json& listed : manifest.at("files")) {
    std::string contents = ReadChecked(path, listed);
    if (listed.at("name") == kLoopFile)
      loaded.loop = ParseJsonShallow(contents, path + "/" + kLoopFile);
    if (listed.at("name") == kStateFile) loaded.state = std::move(contents);
  }
  if (!loaded.loop.is_object()) {
    throw DamagedCheckpoint(path + ": its manifest lists no usable " + kLoopFile);
  }
  return loaded;
}

// Finds the buffers in the state file.
void PlaceState(const std::vector<StateBuffer>& buffers, LoadedCheckpoint* loaded) {
  const std::string header = SafetensorsHeader(buffers);
  if (loaded->state.compare(0, header.size(), header) != 0) {
    throw ConfigError(loaded->path + "/" + kStateFile +
                      ": holds other tensors than this trainer's model of this configuration; "
                      "resume it with the trainer that wrote it (" +
                      loaded->trainer_version + ")");
  }
  loaded->state_begin = header.size();
  int64_t expected = static_cast<int64_t>(header.size());
  for (const StateBuffer& buffer : buffers) expected += buffer.bytes;
  if (static_cast<int64_t>(loaded->state.size()) != expected) {
    throw DamagedCheckpoint(loaded->path + "/" + kStateFile + ": has " +
                            std::to_string(loaded->state.size()) +
                            " bytes where its tensors take " + std::to_string(expected));
  }
}

LoadedCheckpoint LoadUnguarded(const std::string& path, const std::string& sha256,
                               const CheckpointIdentity& identity,
                               const std::vector<StateBuffer>& buffers) {
  const ordered_json manifest = ReadManifest(path, sha256);
  CheckIdentity(path, manifest, identity);
  LoadedCheckpoint loaded = ReadFiles(path, manifest);
  PlaceState(buffers, &loaded);
  return loaded;
}

// Runs `read`, whose errors other than the three of LoadCheckpoint mean damage.
template <typename Read>
LoadedCheckpoint Guarded(const std::string& path, Read read) {
  try {
    return read();
  } catch (const ConfigError&) {
    throw;
  } catch (const DamagedCheckpoint&) {
    throw;
  } catch (const DataUnavailable&) {
    throw;
  } catch (const nlohmann::json::exception& error) {
    throw DamagedCheckpoint(path + ": its manifest cannot be read: " + error.what());
  } catch (const std::runtime_error& error) {
    throw DamagedCheckpoint(error.what());
  }
}

}  // namespace

CommittedCheckpoint CommitCheckpoint(const Snapshot& snapshot, const CheckpointOptions& options) {
  const auto phase = [&](CommitPhase at) {
    if (options.at_phase) options.at_phase(at);
  };
  const std::string name = StepName(snapshot.step);
  const std::string path = options.dir + "/" + name;
  const std::string temporary =
      options.dir + "/" + kUnfinished + name + "-" + std::to_string(getpid());
  const std::string replaced = temporary + "-replaced";
  const std::string header = SafetensorsHeader(snapshot.buffers);
  const int64_t needed = static_cast<int64_t>(header.size() + snapshot.bytes.size());
  std::error_code ignored;
  bool renamed = false;
  try {
    fs::create_directories(temporary);
    std::vector<WrittenFile> files;
    files.push_back(
        WriteFile(temporary, kStateFile, header, {snapshot.bytes.data(), snapshot.bytes.size()}));
    files.push_back(WriteFile(temporary, kLoopFile, snapshot.loop.dump(2), "\n"));
    phase(CommitPhase::kStateWritten);
    const WrittenFile manifest =
        WriteFile(temporary, kManifestFile, ManifestText(snapshot, files), "");
    SyncDirectory(temporary);
    phase(CommitPhase::kManifestWritten);
    if (options.sync_events) options.sync_events();
    // An older folder of this step is a damaged one, or one of a run that went further
    // than it could tell.
    if (fs::exists(path)) Rename(path, replaced);
    Rename(temporary, path);
    renamed = true;
    SyncDirectory(options.dir);
    phase(CommitPhase::kRenamed);
    fs::remove_all(replaced, ignored);
    CommittedCheckpoint committed{
        .step = snapshot.step, .path = path, .sha256 = manifest.sha256, .bytes = manifest.bytes};
    for (const WrittenFile& file : files) committed.bytes += file.bytes;
    return committed;
  } catch (const std::exception& error) {
    if (renamed) fs::rename(path, temporary, ignored);
    fs::remove_all(temporary, ignored);
    if (!fs::exists(path, ignored) && fs::exists(replaced, ignored)) {
      std::rename(replaced.c_str(), path.c_str());
    }
    ThrowNotWritten(snapshot.step, needed, options.dir, error);
  }
}

void PruneCheckpoints(const CheckpointOptions& options, int64_t step) {
  if (options.sync_events) options.sync_events();
  for (const int64_t older : Doomed(DatedSteps(options.dir, step), options)) {
    // Renamed first: a checkpoint that is half removed must not look like one.
    const std::string path = options.dir + "/" + StepName(older);
    const std::string doomed = options.dir + "/" + kUnfinished + StepName(older) + "-old";
    std::error_code ignored;
    if (std::rename(path.c_str(), doomed.c_str()) == 0) fs::remove_all(doomed, ignored);
  }
}

LoadedCheckpoint LoadCheckpoint(const std::string& path, const std::string& sha256,
                                const CheckpointIdentity& identity,
                                const std::vector<StateBuffer>& buffers) {
  return Guarded(path, [&] { return LoadUnguarded(path, sha256, identity, buffers); });
}

LoadedCheckpoint ReadCheckpoint(const std::string& path, const std::string& sha256) {
  return Guarded(path, [&] { return ReadFiles(path, ReadManifest(path, sha256)); });
}

LoadedCheckpoint LoadParent(const ResumePoint& branch, const std::vector<MemberConfig>& members,
                            const std::string& data_sha256,
                            const std::vector<StateBuffer>& buffers) {
  LoadedCheckpoint loaded = ReadCheckpoint(branch.path, branch.sha256);
  if (loaded.step != branch.step) {
    throw ConfigError(branch.path + ": is of step " + std::to_string(loaded.step) +
                      ", and branch names step " + std::to_string(branch.step) +
                      "; name the step that it is of");
  }
  CheckBranch(loaded.loop, members, branch.step, branch.path);
  if (loaded.data_sha256 != data_sha256) {
    throw DataUnavailable(branch.path + ": was trained on another data set (" +
                          loaded.data_sha256.substr(0, 12) + ") than this host's (" +
                          data_sha256.substr(0, 12) + "); give it the shards of the parent");
  }
  PlaceState(buffers, &loaded);
  return loaded;
}

std::optional<LoadedCheckpoint> FindCheckpoint(const std::string& dir,
                                               const std::optional<ResumePoint>& wanted,
                                               bool newest, int64_t last_step,
                                               const CheckpointIdentity& identity,
                                               const std::vector<StateBuffer>& buffers,
                                               const std::function<void(std::string)>& warn) {
  const auto load = [&](const std::string& path, const std::string& sha256,
                        int64_t step) -> std::optional<LoadedCheckpoint> {
    try {
      LoadedCheckpoint loaded = LoadCheckpoint(path, sha256, identity, buffers);
      if (loaded.step == step) return loaded;
      throw DamagedCheckpoint(path + ": its manifest says step " + std::to_string(loaded.step) +
                              ", and it was to be of step " + std::to_string(step));
    } catch (const DamagedCheckpoint& error) {
      warn(std::string("passed over a damaged checkpoint: ") + error.what());
      return std::nullopt;
    }
  };
  const auto newest_of = [&](int64_t after, int64_t until) -> std::optional<LoadedCheckpoint> {
    for (const int64_t step : StepsIn(dir)) {
      const std::string path = dir + "/" + StepName(step);
      if (step <= after || step > until || (wanted && path == wanted->path)) continue;
      if (auto loaded = load(path, "", step)) return loaded;
    }
    return std::nullopt;
  };
  if (!wanted) return newest_of(-1, last_step);
  if (newest) {
    if (auto loaded = newest_of(wanted->step, last_step)) return loaded;
  }
  if (auto loaded = load(wanted->path, wanted->sha256, wanted->step)) return loaded;
  return newest_of(-1, wanted->step);
}

void RemoveUnfinished(const std::string& dir) {
  std::error_code error;
  std::vector<fs::path> leftovers;
  for (const auto& entry : fs::directory_iterator(dir, error)) {
    if (entry.path().filename().string().rfind(kUnfinished, 0) == 0) {
      leftovers.push_back(entry.path());
    }
  }
  for (const fs::path& path : leftovers) fs::remove_all(path, error);
}

CheckpointWriter::~CheckpointWriter() {
  if (pending_.valid()) pending_.wait();
  if (pruning_.valid()) pruning_.wait();
}

void CheckpointWriter::Start(Snapshot snapshot) {
  FinishPruning();
  pending_ = std::async(std::launch::async, [this, snapshot = std::move(snapshot)] {
    return CommitCheckpoint(snapshot, options_);
  });
}

std::optional<CommittedCheckpoint> CheckpointWriter::Poll() {
  if (!pending_.valid() || pending_.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
    return std::nullopt;
  return pending_.get();
}

std::optional<CommittedCheckpoint> CheckpointWriter::Wait() {
  if (!pending_.valid()) return std::nullopt;
  return pending_.get();
}

void CheckpointWriter::StartPruning(int64_t step) {
  FinishPruning();
  pruning_ = std::async(std::launch::async, [this, step] { PruneCheckpoints(options_, step); });
}

void CheckpointWriter::FinishPruning() {
  if (pruning_.valid()) pruning_.get();
}

}  // namespace loglog
