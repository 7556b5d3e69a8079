#ifndef LOGLOG_TESTS_FAKE_TRAINER_EVENT_LOG_H_
#define LOGLOG_TESTS_FAKE_TRAINER_EVENT_LOG_H_

#include <nlohmann/json.hpp>
#include <string>

namespace loglog {

// events.jsonl, and the same lines to the bell when that descriptor is open.
class EventLog {
 public:
  EventLog(const std::string& path, int bell_fd);
  ~EventLog();
  void Line(const nlohmann::ordered_json& event) { Bytes(event.dump() + "\n"); }
  void Bytes(const std::string& bytes);
  void Sync();

 private:
  const int bell_fd_;  // -1: none
  int fd_ = -1;
};

}  // namespace loglog

#endif  // LOGLOG_TESTS_FAKE_TRAINER_EVENT_LOG_H_
