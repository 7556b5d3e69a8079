#ifndef LOGLOG_CLI_LIVE_H_
#define LOGLOG_CLI_LIVE_H_

#include <iosfwd>
#include <string>

#include "absl/strings/string_view.h"

namespace loglog::cli {

// A block of text at the bottom of a terminal that is drawn over itself. Use only on a
// terminal. Lines are cut to the width, and the block to the height, because a wrapped
// line could not be drawn over.
class LiveRegion {
 public:
  LiveRegion(std::ostream& out, int columns, int rows)
      : out_(out), columns_(columns), rows_(rows) {}
  void Update(absl::string_view text);
  // Leaves the text where it is; the next Update starts below it.
  void Finish() { lines_ = 0; }

 private:
  std::ostream& out_;
  const int columns_;
  const int rows_;
  int lines_ = 0;
};

// While alive, Ctrl-C and SIGTERM set a flag instead of ending the process. One at a
// time; not for threads.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  static bool Interrupted();
};

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_LIVE_H_
