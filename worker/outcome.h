#ifndef LOGLOG_WORKER_OUTCOME_H_
#define LOGLOG_WORKER_OUTCOME_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/limits.h"
#include "base/subprocess.h"

namespace loglog::worker {

// How an attempt ended, as the worker reports it (AttemptOutcome on the wire).
struct Outcome {
  enum class Kind {
    kDone,
    kDiverged,
    kStopped,
    kFailed,
    kRefused,
    kOutOfMemory,
    kDeviceError,
    kLost,
  };
  Kind kind = Kind::kLost;
  int exit_code = -1;
  int signal = 0;
  int64_t last_seq = -1;  // of the attempt's events; -1 when there were none
  std::string message;    // UTF-8, at most limits::kOutcomeMessageBytesMax

  bool operator==(const Outcome&) const = default;
};

// Why the worker ended a trainer, when it did.
enum class StopCause {
  kNone,     // it did not
  kAsked,    // by the coordinator or for a drain: checkpoint and leave
  kLease,    // no sync succeeded in time
  kDiscard,  // the attempt is fenced off: nothing of it is reported
  kAbandon,  // another store answers: keep the files, report nothing here
};

// What the events file says about the end of the attempt.
struct EventSummary {
  int64_t lines = 0;  // whole ones
  int members_ended = 0;
  int members_diverged = 0;
};

// What the trainer's end means. `last_words` is the end of its standard error.
// `members` is how many members the task has; an exit code that claims an end which the
// events do not show is a failure, because the points would be incomplete.
Outcome ClassifyExit(const ExitStatus& status, StopCause cause, const EventSummary& events,
                     int members, absl::string_view last_words);

// The outcome of an attempt whose events the host cannot read, for the reason `why`.
Outcome ClassifyUnreadEnd(const ExitStatus& status, absl::string_view why);

// The outcome of an attempt whose trainer ended together with the daemon, unseen.
Outcome ClassifyUnseenEnd(const EventSummary& events, int members);

// `text` as UTF-8 of at most `max_bytes`, its end kept when it is longer.
std::string CleanMessage(absl::string_view text,
                         size_t max_bytes = limits::kOutcomeMessageBytesMax);

absl::string_view OutcomeName(Outcome::Kind kind);

// outcome.json. DATA_LOSS when it cannot be read back.
std::string OutcomeToJson(const Outcome& outcome);
absl::StatusOr<Outcome> OutcomeFromJson(absl::string_view json);

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_OUTCOME_H_
