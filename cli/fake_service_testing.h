#ifndef LOGLOG_CLI_FAKE_SERVICE_TESTING_H_
#define LOGLOG_CLI_FAKE_SERVICE_TESTING_H_

#include <memory>
#include <string>
#include <vector>

#include "cli/checks.h"
#include "loglog/v1/admin_service.pb.h"

namespace loglog::cli {

// A SweepService over one sweep in memory, and an AdminService, on a Unix socket in a folder of its
// own. Set fields before a call; they are not guarded against calls in flight.
class FakeService {
 public:
  FakeService();
  ~FakeService();
  std::string address() const;

  CheckInput data;            // what is served
  int unavailable_calls = 0;  // so many calls fail first
  int overloaded_calls = 0;   // then so many are refused with advice
  int64_t advised_ms = 0;
  // After so many ListTrials, so many calls fail; 0: never.
  int unavailable_after_lists = 0;
  int unavailable_calls_then = 0;
  bool hang = false;  // every call lasts until its deadline
  int page_size_max = 1000;
  bool spec_exists = false;  // CreateSweep finds the sweep there
  int trials_reused = 4;     // of a sweep that is not there
  std::string store_path = "/nowhere/loglog.db";
  std::string trial_config = R"({"model":{"layers":2},"train":{"tokens":1000000}})";
  bool refuse_points = false;  // every ListPoints ends in an error
  int unfinished = 0;          // of every fit
  std::string refused_arm;     // fits of it end in an error
  // After so many ListTrials every open trial is done, and so is the sweep; 0: never.
  int done_after_lists = 0;
  std::vector<v1::Token> tokens;         // of the coordinator
  std::vector<std::string> hashes;       // of the tokens that were made
  std::string authorization;             // of the last call
  int refusal = 0;                       // the code that every call ends with; 0: none
  std::vector<std::string> request_ids;  // of writes, in order, each try
  std::vector<std::string> calls;        // names of the calls, in order
  std::vector<std::string> fits_asked;   // "local_slope D small", "comparison D small large"

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_FAKE_SERVICE_TESTING_H_
