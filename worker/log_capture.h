#ifndef LOGLOG_WORKER_LOG_CAPTURE_H_
#define LOGLOG_WORKER_LOG_CAPTURE_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace loglog::worker {

// A trainer's standard error on its way to a file of bounded size: the head is written
// at once, of the rest only the tail is kept and written at the end, with a line
// between them that says how much is left out.
// Not thread-safe. A full disk loses the log, never the trainer.
class LogCapture {
 public:
  LogCapture(const std::string& path, int64_t head_bytes, int64_t tail_bytes);
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;

  void Append(absl::string_view bytes);
  // Writes the tail. Nothing may be appended after it.
  void Close();
  // The newest bytes, at most a few thousand; valid after Close() too.
  const std::string& last_bytes() const { return last_; }

 private:
  void Write(absl::string_view bytes);

  const int64_t head_bytes_;
  const int64_t tail_bytes_;
  int fd_ = -1;
  int64_t written_ = 0;
  int64_t left_out_ = 0;
  std::string tail_;
  std::string last_;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_LOG_CAPTURE_H_
