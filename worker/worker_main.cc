// loglog-worker: runs trainers for a coordinator. Exit codes: 0 after a drain, 1 failure,
// 2 usage.
#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "base/duration.h"
#include "base/failpoint.h"
#include "base/file.h"
#include "base/logging.h"
#include "base/status.h"
#include "proto/callback_pulse.h"
#include "proto/credentials.h"
#include "worker/exit_watchdog.h"
#include "worker/labels.h"
#include "worker/metric_stream.h"
#include "worker/signal_thread.h"
#include "worker/sync_loop.h"

namespace loglog::worker {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;
// More than leaving in order ever takes: after the first signal, a later one, the last word.
constexpr int64_t kLeaveMs = 90'000;
constexpr int64_t kLeaveHurriedMs = 45'000;
constexpr int64_t kLeaveAtLastMs = 20'000;
// nvidia-smi needs a second or two on a large host.
constexpr int64_t kGpuAnswerMs = 8'000;

struct Flags {
  std::string coordinator;
  ClientSecurity security;
  RunDir::Options run_dir{.root = "./loglog-run"};
  int slots = 0;
  std::string device = "auto";
  std::vector<std::string> labels;
  std::string trainer;
  std::string checkpoint_scope;
  std::string ready_file;
  std::string connect_timeout = "0";
  int64_t min_free_mb = 256;
  std::string clock_offset = "0";
  LogOptions log;
};

// Beside this program, or in ../libexec/loglog of an installation.
std::string DefaultTrainer() {
  char path[PATH_MAX] = {};
  if (readlink("/proc/self/exe", path, sizeof(path) - 1) <= 0) return "loglog-trainer";
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const std::string beside = (folder / "loglog-trainer").string();
  const std::string installed = (folder.parent_path() / "libexec/loglog/loglog-trainer").string();
  return !PathExists(beside) && PathExists(installed) ? installed : beside;
}

void DefineFlags(CLI::App* app, Flags* flags) {
  app->add_option("--coordinator", flags->coordinator, "host:port or unix:/path")
      ->envname("LOGLOG_COORDINATOR")
      ->required();
  app->add_option("--tls-ca", flags->security.tls_ca,
                  "speak TLS; trust this PEM file's authorities")
      ->envname("LOGLOG_TLS_CA");
  app->add_option("--tls-cert", flags->security.tls_cert, "our own certificate, PEM")
      ->envname("LOGLOG_TLS_CERT");
  app->add_option("--tls-key", flags->security.tls_key, "its private key, PEM")
      ->envname("LOGLOG_TLS_KEY");
  app->add_option("--token-file", flags->security.token_file,
                  "holds this worker's token, read again for each call (else LOGLOG_TOKEN)")
      ->envname("LOGLOG_TOKEN_FILE");
  app->add_flag("--insecure", flags->security.insecure,
                "send the token in plain text: only on a network you trust")
      ->envname("LOGLOG_INSECURE");
  app->add_option("--run-dir", flags->run_dir.root, "this worker's files; one worker each")
      ->capture_default_str();
  app->add_option("--slots", flags->slots, "tasks at a time (0: one for each GPU, else CPU)");
  app->add_option("--device", flags->device, "auto, cpu or cuda")->capture_default_str();
  app->add_option("--name", flags->run_dir.name, "worker id, stable and unique");
  app->add_option("--label", flags->labels, "key=value; may be repeated")->allow_extra_args(false);
  app->add_option("--data-root", flags->run_dir.data_root, "where relative data globs begin")
      ->capture_default_str();
  app->add_option("--trainer", flags->trainer, "loglog-trainer (default: beside this program)");
  app->add_option("--checkpoint-dir", flags->run_dir.checkpoint_root,
                  "checkpoints (default: checkpoints in the run directory)");
  app->add_option("--checkpoint-scope", flags->checkpoint_scope,
                  "workers with the same scope share the checkpoint folder");
  app->add_option("--ready-file", flags->ready_file, "written once registered");
  app->add_option("--connect-timeout", flags->connect_timeout,
                  "give up when no coordinator answers in this time, such as 30s (0: never)")
      ->capture_default_str();
  app->add_option("--min-free-mb", flags->min_free_mb, "take no work with less free disk")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->capture_default_str();
  app->add_option("--log-level", flags->log.level, "trace, debug, info, warn, error, off")
      ->capture_default_str();
  app->add_option("--log-format", flags->log.format, "text or json (default: by terminal)");
  app->add_option("--clock-offset", flags->clock_offset,
                  "for tests: a wall clock that is wrong by this much, such as -1h")
      ->group("");  // not in --help
  app->set_version_flag("--version", "loglog-worker " LOGLOG_VERSION);
}

int Fail(const absl::Status& status) {
  std::cerr << "error: " << status.message() << "\n";
  return absl::IsInvalidArgument(status) ? kExitUsage : kExitFailure;
}

std::string HostName() {
  char host[256] = {};
  gethostname(host, sizeof(host) - 1);
  return CleanMessage(host);
}

// Pipes to trainers must not get the numbers of closed standard descriptors.
void OpenStandardDescriptors() {
  int fd = 0;
  do {
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  } while (fd >= 0 && fd <= 2);
  if (fd > 2) close(fd);
}

// Each running trainer takes five descriptors.
void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

bool AnyGpu(const std::vector<Device>& devices) {
  return std::any_of(devices.begin(), devices.end(),
                     [](const Device& device) { return device.name != "cpu"; });
}

absl::Status Serve(const Flags& flags, SyncLoop::Options sync, const sigset_t& signals) {
  LOGLOG_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                          MakeChannel(flags.coordinator, flags.security));
  absl::StatusOr<std::unique_ptr<RunDir>> run_dir = RunDir::Open(flags.run_dir);
  if (!run_dir.ok()) return run_dir.status();
  std::vector<Survivor> survivors = (*run_dir)->KillSurvivors();

  // The kernel ends the trainers of a daemon that is gone.
  ExitWatchdog watchdog(Clock::Real(), [] {
    spdlog::error(
        "leaving takes too long, does a file system hang? Ending at once; what is not reported "
        "is, by the next loglog-worker started there");
    _exit(kExitFailure);
  });
  const std::string smi = AnyGpu(sync.devices) ? FindNvidiaSmi() : "";
  std::function<absl::StatusOr<std::vector<GpuReading>>()> read_gpus;
  if (!smi.empty()) read_gpus = [smi] { return ReadGpus(smi, kGpuAnswerMs); };
  Session session;
  Supervisor supervisor({.run_dir = run_dir->get(),
                         .trainer = flags.trainer,
                         .devices = sync.devices,
                         .read_gpus = std::move(read_gpus),
                         .free_bytes_min = flags.min_free_mb << 20,
                         .survivors = std::move(survivors)});
  const CallbackPulse pulse;
  SyncLoop loop(std::move(sync), channel, run_dir->get(), &supervisor, &session);
  SignalThread signal_thread(signals, [&](int count) {
    watchdog.Arm(count == 1 ? kLeaveMs : kLeaveHurriedMs);
    count == 1 ? loop.BeginDrain() : loop.Hurry();
  });
  MetricStream stream({.worker_id = (*run_dir)->worker_id(),
                       .on_refused = [&supervisor](int64_t id) { supervisor.StopAttempt(id); }},
                      channel, &session, &supervisor.outbox());
  const absl::Status status = loop.Run();
  watchdog.Arm(kLeaveAtLastMs);
  return status;
}

// Out of the environment, which trainers inherit.
std::string TakeToken() {
  const char* const token = std::getenv("LOGLOG_TOKEN");
  const std::string taken = token == nullptr ? "" : token;
  unsetenv("LOGLOG_TOKEN");
  return taken;
}

int Main(int argc, char** argv) {
  // A log that nobody reads any more must not end the daemon, and its trainers with it.
  signal(SIGPIPE, SIG_IGN);
  StopLookingForDeadlocks();
  Flags flags;
  flags.security.token = TakeToken();
  CLI::App app("Runs loglog-trainer processes for a loglog-coordinator.", "loglog-worker");
  DefineFlags(&app, &flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e, std::cout, std::cerr) == 0 ? 0 : kExitUsage;
  }
  // What trainers write is theirs and this worker's alone, whatever the shell had set.
  umask(077);
  absl::Status status = SetUpLogging(flags.log, "loglog-worker");
  if (status.ok()) status = ArmFailpointFromEnvironment();
  if (!status.ok()) return Fail(status);
  const absl::StatusOr<int64_t> clock_offset_ms = ParseSignedDurationMs(flags.clock_offset);
  if (!clock_offset_ms.ok()) return Fail(Annotate(clock_offset_ms.status(), "--clock-offset"));
  SetWallClockOffset(*clock_offset_ms);
  const absl::StatusOr<int64_t> connect_timeout_ms = ParseDurationMs(flags.connect_timeout);
  if (!connect_timeout_ms.ok()) return Fail(connect_timeout_ms.status());
  const auto labels = ParseLabels(flags.labels);
  if (!labels.ok()) return Fail(labels.status());
  status = CheckFlagText("--checkpoint-scope", flags.checkpoint_scope);
  if (!status.ok()) return Fail(status);
  flags.run_dir.shared_checkpoints = !flags.checkpoint_scope.empty();
  flags.trainer = AbsolutePath(flags.trainer.empty() ? DefaultTrainer() : flags.trainer);
  if (access(flags.trainer.c_str(), X_OK) != 0) {
    return Fail(absl::NotFoundError(absl::StrCat(
        "trainer ", flags.trainer,
        " is not an executable file; build it (cmake -S trainer), or give --trainer PATH")));
  }
  OpenStandardDescriptors();
  RaiseDescriptorLimit();
  const sigset_t signals = BlockLeaveSignals();
  const auto devices = FindDevices(flags.device, flags.slots);
  if (!devices.ok()) return Fail(devices.status());
  SyncLoop::Options sync{.address = flags.coordinator,
                         .version = LOGLOG_VERSION,
                         .host = HostName(),
                         .devices = *devices,
                         .labels = *labels,
                         .checkpoint_scope = flags.checkpoint_scope,
                         .ready_file = flags.ready_file,
                         .connect_timeout_ms = *connect_timeout_ms};
  status = Serve(flags, std::move(sync), signals);
  if (!status.ok()) return Fail(status);
  spdlog::info("left");
  return 0;
}

}  // namespace
}  // namespace loglog::worker

int main(int argc, char** argv) { return loglog::worker::Main(argc, argv); }
