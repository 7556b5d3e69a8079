// loglog-coordinator: owns one store and serves it.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/failpoint.h"
#include "base/file.h"
#include "base/logging.h"
#include "base/mutex.h"
#include "base/status.h"
#include "coordinator/engine.h"
#include "coordinator/service_host.h"
#include "proto/callback_pulse.h"
#include "store/token.h"

namespace loglog {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;
constexpr int64_t kShutdownGraceMs = 3'000;
constexpr int64_t kShutdownMs = 10'000;
constexpr int64_t kLeaseMsMin = 500;
constexpr int64_t kLeaseMsMax = 24 * 3'600'000;

struct Flags {
  std::string store;
  std::string lease = "30s";
  std::string lease_margin = "5s";
  std::string ready_file;
  std::string clock_offset = "0";
  std::string auth;
  bool new_admin_token = false;
  LogOptions log;
  ServiceOptions service;
};

void AddFlags(CLI::App* app, Flags* flags) {
  app->add_option("--store", flags->store, "The store: one SQLite file, made when it is not there")
      ->required()
      ->type_name("PATH");
  app->add_option("--listen", flags->service.listen,
                  "Where to serve: host:port (port 0: any) or unix:/path")
      ->type_name("ADDRESS")
      ->capture_default_str();
  app->add_flag("--insecure", flags->service.insecure,
                "Serve a wider address than loopback without TLS, or with --auth off: only on a "
                "network you trust");
  app->add_option("--tls-cert", flags->service.tls.tls_cert,
                  "Certificate chain to serve with, PEM; read again when it changes")
      ->type_name("FILE");
  app->add_option("--tls-key", flags->service.tls.tls_key, "Its private key, PEM")
      ->type_name("FILE");
  app->add_option("--tls-client-ca", flags->service.tls.tls_client_ca,
                  "Serve only clients with a certificate of these authorities, PEM")
      ->type_name("FILE");
  app->add_option("--auth", flags->auth,
                  "required: callers show a token; off: nobody is asked. By default required "
                  "where TLS serves a wider address than loopback")
      ->check(CLI::IsMember({"required", "off"}));
  app->add_flag("--new-admin-token", flags->new_admin_token,
                "Write another admin token to STORE.admin-token, as is done when there is none");
  app->add_option("--lease", flags->lease,
                  "How long a worker may be silent before its tasks are given to others")
      ->type_name("DURATION")
      ->capture_default_str();
  app->add_option("--lease-margin", flags->lease_margin,
                  "How much before that the worker stops by itself, and after it the coordinator "
                  "acts")
      ->type_name("DURATION")
      ->capture_default_str();
  app->add_option("--ready-file", flags->ready_file,
                  "Written once it serves, with the real address")
      ->type_name("FILE");
  app->add_option("--clock-offset", flags->clock_offset,
                  "For tests: a wall clock that is wrong by this much, such as -1h")
      ->group("");  // not in --help
  app->add_option("--log-level", flags->log.level, "trace, debug, info, warn, error or off")
      ->capture_default_str();
  app->add_option("--log-format", flags->log.format,
                  "text or json; by default text on a terminal, else JSON lines");
  app->set_version_flag("--version", std::string("loglog-coordinator " LOGLOG_VERSION));
}

absl::StatusOr<EngineOptions> EngineOptionsFrom(const Flags& flags) {
  EngineOptions options;
  options.version = LOGLOG_VERSION;
  absl::StatusOr<int64_t> lease = ParseDurationMs(flags.lease);
  if (!lease.ok()) return Annotate(lease.status(), "--lease");
  absl::StatusOr<int64_t> margin = ParseDurationMs(flags.lease_margin);
  if (!margin.ok()) return Annotate(margin.status(), "--lease-margin");
  if (*lease < kLeaseMsMin || *lease > kLeaseMsMax) {
    return absl::InvalidArgumentError(absl::StrCat("--lease ", flags.lease, ": must be from ",
                                                   FormatDurationMs(kLeaseMsMin), " to ",
                                                   FormatDurationMs(kLeaseMsMax)));
  }
  if (*margin < 0 || *margin > *lease / 2) {
    return absl::InvalidArgumentError(absl::StrCat("--lease-margin ", flags.lease_margin,
                                                   ": must be at most half of --lease, ",
                                                   FormatDurationMs(*lease / 2)));
  }
  options.scheduler.lease_ms = *lease;
  options.scheduler.lease_margin_ms = *margin;
  return options;
}

int Fail(const absl::Status& status) {
  spdlog::error("{}", std::string(status.message()));
  return absl::IsInvalidArgument(status) ? kExitUsage : kExitFailure;
}

// Makes an admin's token and leaves it beside the store, for its owner only. The file comes
// first: a token that nobody can read would be in the way of the next one.
absl::Status WriteAdminToken(Engine* engine, const std::string& path) {
  const std::string token = MakeToken();
  absl::Status status = WriteFileAtomically(path, absl::StrCat(token, "\n"), 0600);
  if (!status.ok()) return status;
  std::promise<absl::Status> made;
  engine->CreateToken({.name = "admin", .role = Role::kAdmin, .sha256 = TokenSha256(token)},
                      [&](const absl::StatusOr<TokenRow>& row) { made.set_value(row.status()); });
  status = made.get_future().get();
  if (status.ok()) spdlog::info("a token for an admin is in {}", path);
  return status;
}

// Ends the process when a shutdown hangs: what was acknowledged is in the store.
class Watchdog {
 public:
  Watchdog() : thread_([this] { Run(); }) {}
  ~Watchdog() {
    {
      MutexLock lock(mutex_);
      done_ = true;
    }
    changed_.NotifyAll();
    thread_.join();
  }

 private:
  void Run() {
    MutexLock lock(mutex_);
    if (changed_.WaitFor(mutex_, kShutdownMs, [this] { return done_; })) return;
    spdlog::critical("the shutdown took longer than {}; giving up", FormatDurationMs(kShutdownMs));
    std::abort();
  }

  Mutex mutex_;
  CondVar changed_;
  bool done_ = false;
  std::thread thread_;
};

int Serve(const Flags& flags, const EngineOptions& engine_options) {
  // Before a store is made for a server that will not be.
  const absl::Status options = ServiceHost::Check(flags.service);
  if (!options.ok()) return Fail(options);
  // Before any thread is made, so that all of them leave these signals to this one.
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  const CallbackPulse pulse;
  absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Open(flags.store, engine_options);
  if (!engine.ok()) return Fail(engine.status());
  absl::StatusOr<std::unique_ptr<ServiceHost>> host =
      ServiceHost::Start(engine->get(), flags.service);
  if (!host.ok()) return Fail(host.status());
  if (flags.new_admin_token || ((*host)->auth_required() && !(*engine)->HasAdminToken())) {
    const absl::Status status = WriteAdminToken(engine->get(), flags.store + ".admin-token");
    if (!status.ok()) return Fail(status);
  }
  if (!flags.ready_file.empty()) {
    const absl::Status status =
        WriteFileAtomically(flags.ready_file, absl::StrCat((*host)->address(), "\n"));
    if (!status.ok()) return Fail(status);
  }
  spdlog::info("serving {} at {}, {}", flags.store, (*host)->address(),
               (*host)->auth_required() ? "callers show a token" : "nobody is asked who they are");

  int signal = 0;
  sigwait(&stop_signals, &signal);
  spdlog::info("stopping ({})", signal == SIGINT ? "SIGINT" : "SIGTERM");
  const Watchdog watchdog;
  (*host)->Shutdown(kShutdownGraceMs);
  (*engine)->Stop();
  host->reset();
  engine->reset();
  spdlog::info("stopped");
  return 0;
}

int Main(int argc, char** argv) {
  StopLookingForDeadlocks();
  Flags flags;
  CLI::App app("Schedules the trials of one store and keeps what they report.",
               "loglog-coordinator");
  AddFlags(&app, &flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  absl::Status ready = SetUpLogging(flags.log, "loglog-coordinator");
  if (ready.ok()) ready = ArmFailpointFromEnvironment();
  if (!ready.ok()) {
    std::fprintf(stderr, "error: %s\n", std::string(ready.message()).c_str());
    return kExitUsage;
  }
  const absl::StatusOr<int64_t> clock_offset_ms = ParseSignedDurationMs(flags.clock_offset);
  if (!clock_offset_ms.ok()) return Fail(Annotate(clock_offset_ms.status(), "--clock-offset"));
  SetWallClockOffset(*clock_offset_ms);
  flags.service.version = LOGLOG_VERSION;
  if (!flags.auth.empty()) {
    flags.service.auth =
        flags.auth == "off" ? ServiceOptions::Auth::kOff : ServiceOptions::Auth::kRequired;
  }
  const absl::StatusOr<EngineOptions> options = EngineOptionsFrom(flags);
  if (!options.ok()) return Fail(options.status());
  return Serve(flags, *options);
}

}  // namespace
}  // namespace loglog

int main(int argc, char** argv) { return loglog::Main(argc, argv); }
