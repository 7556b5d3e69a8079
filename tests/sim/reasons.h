#ifndef LOGLOG_TESTS_SIM_REASONS_H_
#define LOGLOG_TESTS_SIM_REASONS_H_

#include <cstdint>
#include <functional>
#include <string>

namespace loglog::sim {

// What a coordinator says a pending trial waits for, and what there is to check it by.
struct SaidReason {
  std::string sweep;
  int64_t number = 0;  // of the trial
  std::string reason;
  int64_t now_wall_ms = 0;  // of the coordinator
  // Whether a worker has said lately that it is not well; the store does not know.
  std::function<bool(const std::string& worker_id)> was_unhealthy;
};

// Empty when the store, as it is at this moment, agrees; else what is wrong. Reasons that
// are not known here are wrong: whoever adds one says here when it is true.
std::string WhatIsUntrue(const std::string& store_path, const SaidReason& said);

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_REASONS_H_
