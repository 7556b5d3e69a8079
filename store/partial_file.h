#ifndef LOGLOG_STORE_PARTIAL_FILE_H_
#define LOGLOG_STORE_PARTIAL_FILE_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace loglog {

// An empty file to make a database in, which gets its real name only when it is whole. One
// process at a time has a partial file of a name; what a killed one left there is taken over.
// SQLite's own files beside it come and go with it. Confined to one thread.
class PartialFile {
 public:
  enum class Target { kMustBeNew, kReplace };

  // FAILED_PRECONDITION: another process is making this file now.
  static absl::StatusOr<std::unique_ptr<PartialFile>> Create(const std::string& path, mode_t mode);
  // Removes the file unless it was published. Close every connection to it before.
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  const std::string& path() const { return path_; }
  // Makes its bytes durable, then its name `to`, then the name durable. ALREADY_EXISTS: `to`
  // is there and was to be new.
  absl::Status Publish(const std::string& to, Target target);

 private:
  PartialFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  const std::string path_;
  const int fd_;  // holds the lock
  bool published_ = false;
};

}  // namespace loglog

#endif  // LOGLOG_STORE_PARTIAL_FILE_H_
