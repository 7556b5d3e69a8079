#ifndef LOGLOG_WORKER_EVENT_FILE_H_
#define LOGLOG_WORKER_EVENT_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/outcome.h"
#include "worker/trainer_event.h"

namespace loglog::worker {

// Whole lines of one attempt, numbered from 0 in the order of its file.
struct EventBatch {
  int64_t attempt_id = 0;
  int64_t first_seq = 0;
  NameTable names;
  std::vector<TrainerEvent> events;
};

// Reads an attempt's events.jsonl from any line on while the trainer appends to it. A
// last line without its line feed is not there yet.
// Not thread-safe.
class EventFile {
 public:
  // Where a line begins.
  struct Position {
    int64_t seq = 0;
    int64_t offset = 0;
  };
  struct Limits {
    int64_t bytes_max = 1 << 19;  // of the file; on the wire rows are smaller
    int events_max = 2'000;
  };

  explicit EventFile(std::string path) : path_(std::move(path)) {}
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  const Position& position() const { return position_; }
  void SeekTo(const Position& position) { position_ = position; }
  // Moves to line `seq`, reading the file from its start. False when it has fewer
  // lines; the position is then its end.
  absl::StatusOr<bool> SeekToSeq(int64_t seq);

  // Appends the lines that follow the position to `batch` and moves past them. False
  // when there was none. The number of malformed lines is logged with the path.
  absl::StatusOr<bool> Read(const Limits& limits, EventBatch* batch);

  // Counts whole lines and members that ended; reads the whole file. No file counts as
  // an empty one.
  static absl::StatusOr<EventSummary> Summarize(const std::string& path);

 private:
  // Up to `bytes_max` bytes of whole lines at the position; empty when there is none.
  absl::StatusOr<std::string> ReadLines(int64_t bytes_max);
  absl::Status Open();

  const std::string path_;
  int fd_ = -1;
  Position position_;
};

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_EVENT_FILE_H_
