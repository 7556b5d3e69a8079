#ifndef LOGLOG_CLI_EXIT_CODES_H_
#define LOGLOG_CLI_EXIT_CODES_H_

namespace loglog::cli {

// What the process returns; scripts rely on these.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailure = 1,
  kExitUsage = 2,  // wrong usage, or a spec that is not valid
  kExitNotFound = 3,
  kExitAuth = 4,
  kExitUnreachable = 5,  // no coordinator answers
  kExitTimeout = 6,
  kExitTrialsFailed = 7,  // the sweep ended, but with failed trials
  kExitDifferences = 8,   // two things that were compared are not the same
  kExitInterrupted = 130,
};

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_EXIT_CODES_H_
