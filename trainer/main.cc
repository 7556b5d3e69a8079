// loglog-trainer: trains one task in one process.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <torch/headeronly/version.h>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "shards/file_writer.h"
#include "shards/token_shard.h"
#include "trainer/checkpoint.h"
#include "trainer/config.h"
#include "trainer/events.h"
#include "trainer/export_hf.h"
#include "trainer/loop.h"
#include "trainer/rank_processes.h"
#include "trainer/ranks.h"
#include "trainer/replicas.h"
#include "trainer/safetensors.h"
#include "trainer/task.h"

namespace loglog {
namespace {

constexpr char kVersion[] = LOGLOG_VERSION;

constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitAllDiverged = 10;
constexpr int kExitRefused = 20;
constexpr int kExitOutOfMemory = 30;
constexpr int kExitDevice = 40;
constexpr int kExitHost = 41;
constexpr int kExitStopped = 143;

constexpr char kHelp[] =
    R"(loglog-trainer trains the members of one task in one process.

  loglog-trainer TASK.json             from the start, or from the checkpoint the task names
  loglog-trainer TASK.json --resume    from the newest sound checkpoint, if there is one
  loglog-trainer export CHECKPOINT --out FOLDER [--member N]
                                       config.json and model.safetensors for Hugging Face's
                                       transformers, of one member (default 0)
  loglog-trainer verify CHECKPOINT     is it whole? its files against their SHA-256
                                       both: --json for one object in place of a sentence
  loglog-trainer --version
  loglog-trainer --help

Writes events.jsonl into the task's run_dir (default: the folder of TASK.json),
checkpoints into its checkpoint_dir (default: run_dir/checkpoints) and progress to
stderr. configs/tasks/tiny.json is a task to try.

SIGTERM, SIGINT or SIGUSR1: finish the step, write a checkpoint, leave with 143.

Exit codes: 0 done, 10 all members diverged, 20 task or data refused, 30 out of memory,
40 device error, 41 this host lacks the data or its disk failed (another host may do),
143 asked to stop, 2 wrong usage, 1 anything else. The last line on stderr says why.
)";

volatile std::sig_atomic_t g_stop = 0;

void AskToStop(int) { g_stop = 1; }

// A stop is for rank 0 to hear, which tells the others when to leave.
void HandleSignals(bool leads) {
  struct sigaction action {};
  action.sa_handler = leads ? AskToStop : SIG_IGN;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaction(signal, &action, nullptr);
  // A bell that nobody hears and a file over its limit are errors of a write, not ends.
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

// With a daemon above, its death must end this process too, also when it died before
// this line.
void FollowParent() {
  const char* parent = std::getenv("LOGLOG_PARENT_PID");
  if (parent == nullptr) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (std::to_string(getppid()) != parent) {
    std::fprintf(stderr, "loglog-trainer: the worker with process id %s is gone; leaving\n",
                 parent);
    std::exit(kExitFailed);
  }
}

Task ReadTask(const std::string& file) {
  std::string text;
  try {
    text = ReadWholeFile(file);
  } catch (const std::runtime_error& error) {
    throw ConfigError(error.what());
  }
  std::string folder = std::filesystem::path(file).parent_path().string();
  if (folder.empty()) folder = ".";
  return ParseTask(text, file, folder);
}

LoopResult TrainWithRanks(const std::string& file, const Task& task, LoopOptions options) {
  RankProcesses processes(file, task.ranks);
  try {
    const auto ranks = JoinRanks(
        {.rank = 0, .count = task.ranks, .rendezvous = processes.rendezvous()}, task.device);
    options.engine.ranks = ranks.get();
    const LoopResult result = TrainTask(task, options);
    processes.WaitLeft();
    return result;
  } catch (const RankLost&) {
    processes.BlameFailedRank();
    throw;
  }
}

int Train(const std::string& file, bool resume, int bell_fd) {
  const Task task = ReadTask(file);
  // Off until it has been measured: docs/TRAINER.md.
  const char* const graphs = std::getenv("LOGLOG_CUDA_GRAPHS");
  const LoopOptions options = {
      .resume_newest = resume,
      .bell_fd = bell_fd,
      .trainer_version = kVersion,
      .stop = &g_stop,
      .engine = {.captures_steps = graphs != nullptr && std::string_view(graphs) == "1"}};
  const LoopResult result =
      task.ranks > 1 ? TrainWithRanks(file, task, options) : TrainTask(task, options);
  switch (result) {
    case LoopResult::kDone:
      return kExitDone;
    case LoopResult::kAllDiverged:
      return kExitAllDiverged;
    case LoopResult::kStopped:
      return kExitStopped;
  }
  return kExitFailed;
}

// Where a rank other than 0 leaves its last words; empty elsewhere.
RankPlace g_place;

int Fail(int code, const char* what) {
  if (g_place.rank > 0) {
    WriteLastWords(g_place.rendezvous, g_place.rank, what);
  } else {
    std::fprintf(stderr, "loglog-trainer: %s\n", what);
  }
  return code;
}

// The leader's way to start a further rank: TASK.json --rank N --rendezvous FOLDER.
bool IsFurtherRank(int argc, char** argv) {
  return argc == 6 && std::strcmp(argv[2], "--rank") == 0 &&
         std::strcmp(argv[4], "--rendezvous") == 0;
}

int Follow(const std::string& file) {
  Task task = ReadTask(file);
  task.device = task.DeviceOf(g_place.rank);
  g_place.count = task.ranks;
  const auto ranks = JoinRanks(g_place, task.device);
  try {
    FollowTask(task, *ranks);
  } catch (const RankLost&) {
    // Another rank is to blame, and the leader, which ends this one, is to find that one.
    while (true) pause();
  }
  return kExitDone;
}

void PrintJson(const nlohmann::ordered_json& object) { std::printf("%s\n", object.dump().c_str()); }

// What is done with a checkpoint and needs no training.
int Export(const std::vector<std::string>& arguments) {
  std::string checkpoint, out;
  int64_t member = 0;
  bool as_json = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const bool has_value = i + 1 < arguments.size();
    if (arguments[i] == "--out" && has_value) {
      out = arguments[++i];
    } else if (arguments[i] == "--member" && has_value) {
      char* end = nullptr;
      member = std::strtoll(arguments[++i].c_str(), &end, 10);
      if (*end != '\0') return Fail(kExitUsage, "--member takes a whole number");
    } else if (arguments[i] == "--json") {
      as_json = true;
    } else if (checkpoint.empty() && arguments[i].substr(0, 1) != "-") {
      checkpoint = arguments[i];
    } else {
      return Fail(kExitUsage,
                  ("unexpected '" + arguments[i] + "'; see loglog-trainer --help").c_str());
    }
  }
  if (checkpoint.empty() || out.empty()) {
    return Fail(kExitUsage, "name a checkpoint's folder, and with --out where to write");
  }
  const ExportResult result = ExportHuggingFace(checkpoint, member, out);
  if (as_json) {
    PrintJson({{"folder", out}, {"step", result.step}, {"parameters", result.parameters}});
    return kExitDone;
  }
  std::printf("%s: %lld parameters of step %lld, for transformers' LlamaForCausalLM\n", out.c_str(),
              static_cast<long long>(result.parameters), static_cast<long long>(result.step));
  return kExitDone;
}

int Verify(const std::vector<std::string>& arguments) {
  const bool as_json = arguments.size() == 2 && arguments[1] == "--json";
  if (arguments.size() != 1 && !as_json) return Fail(kExitUsage, "name a checkpoint's folder");
  const LoadedCheckpoint loaded = ReadCheckpoint(arguments[0], "");
  const auto tensors = ParseSafetensors(loaded.state, loaded.path + "/state.safetensors");
  if (as_json) {
    PrintJson({{"checkpoint", loaded.path},
               {"step", loaded.step},
               {"tensors", tensors.size()},
               {"trainer_version", loaded.trainer_version}});
    return kExitDone;
  }
  std::printf("%s: sound, step %lld, %zu tensors, written by trainer %s\n", loaded.path.c_str(),
              static_cast<long long>(loaded.step), tensors.size(), loaded.trainer_version.c_str());
  return kExitDone;
}

int Run(int argc, char** argv, int bell_fd) {
  if (g_place.rank > 0) return Follow(argv[1]);
  const std::string_view command = argc > 1 ? argv[1] : "";
  const std::vector<std::string> arguments(argv + std::min(argc, 2), argv + argc);
  if (command == "export") return Export(arguments);
  if (command == "verify") return Verify(arguments);
  std::string file;
  bool resume = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--version") {
      std::printf("loglog-trainer %s (LibTorch %s)\n", kVersion, TORCH_VERSION);
      return kExitDone;
    }
    if (argument == "--help" || argument == "-h") {
      std::fputs(kHelp, stdout);
      return kExitDone;
    }
    if (argument == "--resume") {
      resume = true;
    } else if (argument.substr(0, 1) == "-" || !file.empty()) {
      const std::string message =
          "unknown argument '" + std::string(argument) + "'; see loglog-trainer --help";
      return Fail(kExitUsage, message.c_str());
    } else {
      file = argument;
    }
  }
  if (file.empty()) return Fail(kExitUsage, "name a task file; see loglog-trainer --help");
  return Train(file, resume, bell_fd);
}

int Main(int argc, char** argv) {
  FollowParent();
  if (IsFurtherRank(argc, argv)) g_place = {.rank = std::atoi(argv[3]), .rendezvous = argv[5]};
  const int bell_fd = g_place.rank > 0 ? -1 : FindBell();
  HandleSignals(g_place.rank == 0);
  try {
    return Run(argc, argv, bell_fd);
  } catch (const ConfigError& error) {
    return Fail(kExitRefused, error.what());
  } catch (const DataUnavailable& error) {
    return Fail(kExitHost, error.what());
  } catch (const DamagedCheckpoint& error) {
    return Fail(kExitFailed, error.what());
  } catch (const ShardError& error) {
    return Fail(kExitRefused, error.what());
  } catch (const OutOfMemoryError& error) {
    return Fail(kExitOutOfMemory, error.what());
  } catch (const std::bad_alloc&) {
    return Fail(kExitOutOfMemory,
                "out of memory; use a smaller train.batch_tokens, model or number of members");
  } catch (const DeviceError& error) {
    return Fail(kExitDevice, error.what());
  } catch (const FileError& error) {
    return Fail(IsStorageFailure(error.error()) ? kExitHost : kExitFailed, error.what());
  } catch (const std::exception& error) {
    return Fail(kExitFailed, error.what());
  }
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) { return loglog::Main(argc, argv); }
