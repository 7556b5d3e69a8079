#ifndef LOGLOG_TESTS_FAKE_TRAINER_MISBEHAVIOUR_H_
#define LOGLOG_TESTS_FAKE_TRAINER_MISBEHAVIOUR_H_

#include <cstdint>
#include <string>

#include "tests/fake_trainer/event_log.h"
#include "tests/fake_trainer/task.h"

namespace loglog {

// What the fake does wrong, from LOGLOG_FAKE_TRAINER="key=value;key=value":
//   step_ms=N         each step takes N milliseconds
//   hello=PATH        sends the datagram "S" to the socket at PATH when it starts, "E" when
//                     it is about to end
//   journal=PATH      tells there what it does (journal.h)
//   diverge_one_in=N  of N tasks one diverges, always the same ones at the same step
//   misfortunes=DIR   takes one file away from there, when there is one: more such pairs,
//                     which happen to this process alone; id=WORD names it
//   once=PATH         the rest happens only while PATH does not exist, and makes it
//   seed=N            the rest happens only to tasks whose first member has this seed
//   exit_at=S, exit_code=C   leaves with C at step S (says so on stderr)
//   signal_at=S, signal=N    sends itself signal N at step S (11 crashes, 9 kills, 19 stops)
//   hang_at=S         stops making progress at step S, still hears SIGTERM
//   ignore_sigterm=1  does not hear it
//   diverge_at=S      the first member's loss is not finite from step S on
//   bad_line_at=S     writes a line that is not JSON before the rows of step S
//   partial_at=S      writes half a line and dies at step S
//   orphan=1          leaves a process of its group behind, which ignores SIGTERM
//   unburied=PATH     leaves a dead child in its group whose parent, outside of the group,
//                     does not wait for it; that parent's pid goes to PATH
//   flood=BYTES       writes so much to stderr first
//   linger_ms=N       takes N milliseconds to leave once it has ended well
// The first five work together with any of the others.
struct Misbehaviour {
  int64_t step_ms = 0;
  std::string hello;
  std::string journal;
  int64_t diverge_one_in = 0;
  std::string misfortune;  // the text that was taken from the folder; empty: none
  int64_t exit_at = -1, exit_code = 1;
  int64_t signal_at = -1, signal = 11;
  int64_t hang_at = -1;
  bool ignore_sigterm = false;
  int64_t diverge_at = -1;
  int64_t bad_line_at = -1;
  int64_t partial_at = -1;
  bool orphan = false;
  std::string unburied;
  int64_t flood = 0;
  int64_t linger_ms = 0;

  // Exits with 2 and a message when the text is malformed.
  static Misbehaviour FromEnvironment(int64_t first_seed);
  // At the start of the process and before the rows of a step.
  void Start() const;
  void AtStep(int64_t step, EventLog* log) const;
  void End() const;
  // From which step on the first member's loss is not finite; -1: never.
  int64_t DivergesAt(const Task& task) const;

 private:
  void Say(char what) const;
};

// Set by SIGTERM.
extern volatile int stop_requested;

}  // namespace loglog

#endif  // LOGLOG_TESTS_FAKE_TRAINER_MISBEHAVIOUR_H_
