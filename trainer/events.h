// events.jsonl, the truth about what a process of the trainer did, and the bell that
// says there is more of it.
#ifndef LOGLOG_TRAINER_EVENTS_H_
#define LOGLOG_TRAINER_EVENTS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace loglog {

// A number as events carry it: those that are not finite as "nan", "inf", "-inf".
nlohmann::ordered_json EventNumber(double value);
// The reverse. Throws std::runtime_error for anything else.
double NumberFromEvent(const nlohmann::ordered_json& value);

// Descriptor 3 when it is the writing end of a pipe or a socket, else -1. To be asked
// before the program opens anything itself.
int FindBell();

// Appends lines to <run_dir>/events.jsonl, each with one write, and copies them to the
// bell without ever waiting for its reader: what does not fit there is dropped.
// Throws FileError naming the file. Write from one thread; Sync from any.
class EventLog {
 public:
  enum class Mode {
    kFresh,     // an older file is kept as events-1.jsonl, events-2.jsonl, ...
    kContinue,  // append; a last line without its line feed is cut off first
  };
  EventLog(const std::string& run_dir, Mode mode, int bell_fd);
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  void Write(const nlohmann::ordered_json& line);
  // Returns when every line written so far is on the disk.
  void Sync();

 private:
  void RingBell(const std::string& line);

  std::string path_;
  int fd_ = -1;
  int bell_fd_;
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_EVENTS_H_
