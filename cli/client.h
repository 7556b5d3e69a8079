#ifndef LOGLOG_CLI_CLIENT_H_
#define LOGLOG_CLI_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "loglog/v1/admin_service.pb.h"
#include "loglog/v1/sweep_service.pb.h"
#include "proto/credentials.h"

namespace loglog::cli {

// Calls to a coordinator. Every call has a deadline. UNAVAILABLE, and a refusal that
// advises it, is tried again a few times with growing pauses: reads are idempotent, and writes
// carry one request_id for all their tries. What remains UNAVAILABLE names the address and how to
// start a coordinator. Thread-safe.
class Client {
 public:
  struct Options {
    std::string address;  // "host:port" or "unix:/path"
    ClientSecurity security;
    int64_t deadline_ms = 10'000;
    int tries = 5;
    int64_t pause_ms = 200;  // before the second try; doubles
  };
  // INVALID_ARGUMENT: the address, a TLS file or the token is not usable. Does not connect yet.
  static absl::StatusOr<std::unique_ptr<Client>> Create(Options options);
  ~Client();

  absl::StatusOr<v1::CreateSweepResponse> CreateSweep(absl::string_view spec_json,
                                                      bool validate_only);
  absl::StatusOr<v1::Sweep> GetSweep(absl::string_view name);
  // All pages.
  absl::StatusOr<std::vector<v1::Sweep>> ListSweeps();
  // NOT_FOUND with advice when there is none.
  absl::StatusOr<v1::Sweep> NewestSweep();
  enum class SweepVerb { kPause, kResume, kCancel };
  // `reason`, here and below: for the events; may be empty.
  absl::StatusOr<v1::Sweep> ChangeSweep(SweepVerb verb, absl::string_view name,
                                        absl::string_view reason);

  // All pages, by number.
  absl::StatusOr<std::vector<v1::Trial>> ListTrials(
      absl::string_view sweep, const std::vector<v1::Trial::State>& states = {});
  absl::StatusOr<v1::Trial> GetTrial(absl::string_view name);
  absl::StatusOr<int> RetryTrials(absl::string_view sweep, const std::vector<std::string>& trials,
                                  bool include_cancelled, bool include_stopped,
                                  absl::string_view reason);
  absl::StatusOr<v1::Trial> CancelTrial(absl::string_view name, absl::string_view reason);
  absl::StatusOr<v1::Trial> StopTrial(absl::string_view name, absl::string_view reason);
  absl::StatusOr<v1::ListPointsResponse> ListPoints(const v1::ListPointsRequest& request);
  absl::StatusOr<std::vector<v1::Event>> GetTrialEvents(absl::string_view name, int max_events);

  absl::StatusOr<v1::Fit> CreateFit(absl::string_view sweep, absl::string_view arm,
                                    absl::string_view kind, absl::string_view axis,
                                    bool censored = false,
                                    const std::vector<v1::FitPlace>& at = {});
  absl::StatusOr<v1::Fit> CompareArms(absl::string_view sweep, absl::string_view arm,
                                      absl::string_view arm_b, absl::string_view axis);
  absl::StatusOr<std::vector<v1::Fit>> ListFits(absl::string_view sweep);

  absl::StatusOr<std::vector<v1::Worker>> ListWorkers();
  absl::StatusOr<v1::Worker> DrainWorker(absl::string_view name, absl::string_view reason);
  absl::StatusOr<v1::Worker> ResumeWorker(absl::string_view name);
  absl::StatusOr<v1::ServerInfo> GetServerInfo();

  // Only the hash of a token is sent.
  absl::StatusOr<v1::Token> CreateToken(const v1::CreateTokenRequest& request);
  // All pages, oldest first.
  absl::StatusOr<std::vector<v1::Token>> ListTokens();
  absl::StatusOr<v1::Token> RevokeToken(absl::string_view name);

  // The bell of a watched sweep: a thread reads WatchSweep and opens it again where it
  // ended, from the last event seen.
  class Watch {
   public:
    virtual ~Watch() = default;
    // True when something happened since the last call; waits up to `timeout_ms`.
    virtual bool WaitForEvent(int64_t timeout_ms) = 0;
  };
  std::unique_ptr<Watch> WatchSweep(absl::string_view name, int64_t after_event_id);

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// "phase-50m" and "sweeps/phase-50m" both name the sweep.
std::string SweepName(absl::string_view name);
// "7" of the sweep, "phase-50m/7" or the whole name.
std::string TrialName(absl::string_view name, absl::string_view default_sweep);
std::string WorkerName(absl::string_view name);
std::string TokenName(absl::string_view name);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_CLIENT_H_
