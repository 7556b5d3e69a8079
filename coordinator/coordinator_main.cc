// loglog-coordinator: owns the store, schedules trials, answers users and workers.
// Exit codes: 0 asked to stop, 1 failure, 2 usage.
#include <pthread.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/duration.h"
#include "base/file.h"
#include "base/logging.h"
#include "base/mutex.h"
#include "coordinator/engine.h"
#include "coordinator/service_server.h"

namespace loglog {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;
constexpr int64_t kShutdownMsMax = 10'000;
constexpr int64_t kCallGraceMs = 3'000;

struct Flags {
  std::string store = "loglog.db";
  ServerOptions server;
  std::string lease = "30s";
  std::string lease_margin = "5s";
  std::string ready_file;
  LogOptions log;
};

void DefineFlags(CLI::App* app, Flags* flags) {
  app->add_option("--store", flags->store, "SQLite file; made when it is not there")
      ->capture_default_str();
  app->add_option("--listen", flags->server.listen, "host:port (0: a free port) or unix:/path")
      ->capture_default_str();
  app->add_flag("--insecure", flags->server.insecure,
                "serve other machines without TLS: anyone who reaches the port may do anything");
  app->add_option("--tls-cert", flags->server.tls_cert, "PEM file of the server's certificate");
  app->add_option("--tls-key", flags->server.tls_key, "PEM file of its key");
  app->add_option("--tls-ca", flags->server.tls_ca, "PEM file; clients must be certified by it");
  app->add_option("--lease", flags->lease, "how long a worker keeps a task without a word")
      ->capture_default_str();
  app->add_option("--lease-margin", flags->lease_margin, "between a worker's kill and our loss")
      ->capture_default_str();
  app->add_option("--ready-file", flags->ready_file, "gets the address once it serves");
  app->add_option("--log-level", flags->log.level, "trace, debug, info, warn, error, off")
      ->capture_default_str();
  app->add_option("--log-format", flags->log.format, "text or json (default: by terminal)");
  app->set_version_flag("--version", "loglog-coordinator " LOGLOG_VERSION);
}

int Fail(const absl::Status& status) {
  std::cerr << "error: " << status.message() << "\n";
  return absl::IsInvalidArgument(status) ? kExitUsage : kExitFailure;
}

// Before any thread starts, so that all of them inherit it.
sigset_t BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// Ends the process when stopping takes too long; what was acknowledged is in the store.
class Watchdog {
 public:
  Watchdog() : thread_([this] { Watch(); }) {}
  ~Watchdog() {
    {
      MutexLock lock(mutex_);
      done_ = true;
    }
    wake_.NotifyAll();
    thread_.join();
  }

 private:
  void Watch() {
    MutexLock lock(mutex_);
    if (wake_.WaitFor(mutex_, kShutdownMsMax, [this] { return done_; })) return;
    spdlog::critical("not stopped after {} s; giving up on open calls", kShutdownMsMax / 1000);
    std::_Exit(kExitFailure);
  }

  Mutex mutex_;
  CondVar wake_;
  bool done_ = false;
  std::thread thread_;
};

absl::Status Serve(const Flags& flags, const EngineOptions& options, const sigset_t& signals) {
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Open(flags.store, options);
  if (!engine.ok()) return engine.status();
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(engine->get(), flags.server);
  if (!server.ok()) return server.status();
  spdlog::info("serving {} on {}", flags.store, (*server)->address());
  if (!flags.ready_file.empty()) {
    const absl::Status written = WriteFileAtomically(flags.ready_file, (*server)->address());
    if (!written.ok()) return written;
  }

  int signal = 0;
  sigwait(&signals, &signal);
  spdlog::info("stopping on signal {}", signal);
  Watchdog watchdog;
  (*server)->Stop(kCallGraceMs);
  (*engine)->Stop();
  spdlog::info("stopped");
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Schedules Loglog sweeps and keeps their store.", "loglog-coordinator");
  DefineFlags(&app, &flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, std::cout, std::cerr) == 0 ? 0 : kExitUsage;
  }
  const absl::StatusOr<int64_t> lease_ms = ParseDurationMs(flags.lease);
  const absl::StatusOr<int64_t> margin_ms = ParseDurationMs(flags.lease_margin);
  for (const absl::Status& status :
       {lease_ms.status(), margin_ms.status(), CheckListen(flags.server),
        SetUpLogging(flags.log, "loglog-coordinator")}) {
    if (!status.ok()) return Fail(status);
  }
  if (*margin_ms < 0 || *lease_ms < 2 * *margin_ms || *lease_ms < 1'000) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat("--lease is ", flags.lease, " and --lease-margin ", flags.lease_margin,
                     "; a lease lasts at least 1s and twice its margin")));
  }
  EngineOptions options;
  options.scheduler.lease_ms = *lease_ms;
  options.scheduler.lease_margin_ms = *margin_ms;
  options.version = LOGLOG_VERSION;
  const sigset_t signals = BlockStopSignals();
  const absl::Status status = Serve(flags, options, signals);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) { return loglog::Main(argc, argv); }
