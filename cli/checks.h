#ifndef LOGLOG_CLI_CHECKS_H_
#define LOGLOG_CLI_CHECKS_H_

#include <map>
#include <string>
#include <vector>

#include "cli/render/style.h"
#include "loglog/v1/common.pb.h"

namespace loglog::cli {

// Something about a sweep that its user should know, with the command that fixes it.
struct Check {
  std::string code;  // "EDGE", "NOISE", ...
  std::string message;
  std::string fix;
};

struct CheckInput {
  v1::Sweep sweep;
  std::vector<v1::Trial> trials;    // all of the sweep
  std::vector<v1::Fit> fits;        // the newest of each kind
  std::vector<v1::Worker> workers;  // for their devices
};

// EDGE DIVERGED NOISE RANGE IMBALANCE STALE MIXED FIT, in this order, each at most a
// few times. Pure. A check that unfinished trials could still undo waits for them.
std::vector<Check> RunChecks(const CheckInput& input);

std::string RenderChecks(const std::vector<Check>& checks, const Style& style);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_CHECKS_H_
