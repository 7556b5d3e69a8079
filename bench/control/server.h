#ifndef LOGLOG_BENCH_CONTROL_SERVER_H_
#define LOGLOG_BENCH_CONTROL_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "base/subprocess.h"
#include "bench/control/bench.h"
#include "loglog/v1/sweep_service.grpc.pb.h"

namespace loglog::bench {

// A loglog-coordinator of its own process on loopback. Its store is at `path`; the one
// before is removed unless `keep`. The destructor stops it; used by one thread.
class Server {
 public:
  Server(const Options& options, const std::string& path, bool keep = false);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const std::string& address() const { return address_; }
  double start_seconds() const { return start_seconds_; }
  // Of its processor, since it began.
  double CpuSeconds() const;
  double RssMb() const;
  double PeakRssMb() const;

 private:
  const std::string path_;
  const bool keep_;
  std::string address_;
  double start_seconds_ = 0;
  std::unique_ptr<Subprocess> process_;
};

void RemoveStore(const std::string& path);
// "bench-NAME-PID" in the folder for files.
std::string TempPath(const Options& options, const std::string& name);
// A connection that no other channel shares.
std::shared_ptr<grpc::Channel> Connect(const std::string& address);

// A sweep of `trials` trials that are like no others in the store: the same text with
// another `salt` makes other cells.
std::string SpecText(const std::string& name, int trials, int64_t salt, int steps = 100);

// What users ask, each call over one connection; a failure ends the program. Thread-safe.
class User {
 public:
  explicit User(const std::string& address);
  v1::SweepService::Stub* stub() { return stub_.get(); }
  // Parses the text once; the canonical JSON is what travels.
  static std::string Canonical(const std::string& spec_text);
  // The sweep's name ("sweeps/x").
  std::string Submit(const std::string& spec_json);
  v1::Sweep Get(const std::string& name);

 private:
  const std::unique_ptr<v1::SweepService::Stub> stub_;
};

// With a deadline, as every call has one.
std::unique_ptr<grpc::ClientContext> NewContext(int seconds = 60);
void Must(const grpc::Status& status, const char* what);

}  // namespace loglog::bench

#endif  // LOGLOG_BENCH_CONTROL_SERVER_H_
