#ifndef LOGLOG_BENCH_CONTROL_DOORBELL_H_
#define LOGLOG_BENCH_CONTROL_DOORBELL_H_

#include <string>

namespace loglog::bench {

// A socket to which fake trainers say when they start and end (their "hello"). Used by
// one thread.
class Doorbell {
 public:
  explicit Doorbell(const std::string& path);
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  // Absolute.
  const std::string& path() const { return path_; }
  // Waits for the next word: 'S' for a start, 'E' for an end.
  char Wait();

 private:
  const std::string path_;
  int fd_ = -1;
};

}  // namespace loglog::bench

#endif  // LOGLOG_BENCH_CONTROL_DOORBELL_H_
