#include "bench/control/server.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <sstream>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "plan/spec.h"

namespace loglog::bench {
namespace {

// A line of /proc/PID/status, in MB.
double StatusMb(pid_t pid, absl::string_view key) {
  const absl::StatusOr<std::string> text = ReadFile(absl::StrCat("/proc/", pid, "/status"));
  if (!text.ok()) return 0;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (line.substr(0, key.size()) != key) continue;
    double kb = 0;
    std::istringstream(std::string(line.substr(key.size() + 1))) >> kb;
    return kb / 1024;
  }
  return 0;
}

}  // namespace

void RemoveStore(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm", ".lock", ".ready", ".log"}) {
    std::filesystem::remove(path + suffix);
  }
}

std::string TempPath(const Options& options, const std::string& name) {
  return absl::StrCat(options.dir, "/bench-", name, "-", getpid());
}

Server::Server(const Options& options, const std::string& path, bool keep)
    : path_(path), keep_(keep) {
  if (!keep) RemoveStore(path);
  const std::string ready = path + ".ready";
  std::filesystem::remove(ready);
  const int log = open((path + ".log").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  const auto start = SteadyClock::now();
  process_ = Must(Subprocess::Spawn(
      {.argv = EndsWithUs({options.bin_dir + "/loglog-coordinator", "--store", path, "--listen",
                           "127.0.0.1:0", "--ready-file", ready, "--log-format", "text"}),
       .stdout_fd = log,
       .stderr_fd = log}));
  close(log);
  while (!PathExists(ready)) {
    ExitStatus status;
    if (process_->TryReap(&status) || SecondsSince(start) > 120) {
      std::fprintf(stderr, "the coordinator did not start: %s",
                   Must(ReadFile(path + ".log")).c_str());
      std::_Exit(1);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  start_seconds_ = SecondsSince(start);
  address_ = Must(ReadFile(ready));
  address_.pop_back();
}

Server::~Server() {
  process_->Signal(SIGTERM);
  ExitStatus status;
  if (!process_->WaitReaped(30'000, &status)) process_->KillGroup();
  process_.reset();
  if (!keep_) RemoveStore(path_);
}

double Server::CpuSeconds() const {
  const std::string text = Must(ReadFile(absl::StrCat("/proc/", process_->pid(), "/stat")));
  const std::vector<std::string> fields =
      absl::StrSplit(text.substr(text.rfind(')') + 2), ' ', absl::SkipEmpty());
  double user = 0, kernel = 0;
  if (fields.size() < 13 || !absl::SimpleAtod(fields[11], &user) ||
      !absl::SimpleAtod(fields[12], &kernel)) {
    return 0;
  }
  return (user + kernel) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double Server::RssMb() const { return StatusMb(process_->pid(), "VmRSS:"); }
double Server::PeakRssMb() const { return StatusMb(process_->pid(), "VmHWM:"); }

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

std::string SpecText(const std::string& name, int trials, int64_t salt, int steps) {
  // An axis has at most 10,000 values, so a large sweep has two of them.
  constexpr int kSeedsMax = 5'000;
  const int columns = (trials + kSeedsMax - 1) / kSeedsMax;
  const int seeds = (trials + columns - 1) / columns;
  std::string seed_list, lr_list;
  for (int i = 0; i < seeds; ++i) absl::StrAppend(&seed_list, i == 0 ? "" : ",", i);
  for (int i = 0; i < columns; ++i) {
    absl::StrAppend(&lr_list, i == 0 ? "" : ",", "1.", 100'000'000'000 + salt * 64 + i, "e-3");
  }
  return absl::StrCat(
      "{apiVersion: loglog/v1, name: ", name,
      ", model: {layers: 1, d_model: 16, heads: 2, kv_heads: 2, d_ff: 32, vocab: 64, seq_len: 16},"
      " data: {train: {format: synthetic}, val: {format: synthetic}, synthetic: {contexts: 32, "
      "branching: 4}}, train: {batch_tokens: 64, tokens: ",
      64 * steps, "}, axes: {lr: {path: train.lr, values: [", lr_list,
      "]}, seed: {path: seed, values: [", seed_list, "]}}}");
}

User::User(const std::string& address) : stub_(v1::SweepService::NewStub(Connect(address))) {}

std::string User::Canonical(const std::string& spec_text) {
  return CanonicalJson(bench::Must(ParseSpec(spec_text, "bench")));
}

std::string User::Submit(const std::string& spec_json) {
  v1::CreateSweepRequest request;
  request.set_spec_json(spec_json);
  v1::CreateSweepResponse response;
  Must(stub_->CreateSweep(NewContext().get(), request, &response), "CreateSweep");
  if (!response.created()) {
    std::fprintf(stderr, "%s was there before\n", response.sweep().name().c_str());
    std::_Exit(1);
  }
  return response.sweep().name();
}

v1::Sweep User::Get(const std::string& name) {
  v1::GetSweepRequest request;
  request.set_name(name);
  v1::Sweep sweep;
  Must(stub_->GetSweep(NewContext().get(), request, &sweep), "GetSweep");
  return sweep;
}

std::unique_ptr<grpc::ClientContext> NewContext(int seconds) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(seconds));
  return context;
}

void Must(const grpc::Status& status, const char* what) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", what, status.error_message().c_str());
  std::_Exit(1);
}

}  // namespace loglog::bench
