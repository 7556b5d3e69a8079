#ifndef LOGLOG_TESTS_FUZZ_MEMORY_FILE_H_
#define LOGLOG_TESTS_FUZZ_MEMORY_FILE_H_

#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/check.h"

namespace loglog {

// A file without a disk, for code that opens what it reads by name.
class MemoryFile {
 public:
  explicit MemoryFile(absl::string_view bytes) : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
    LOGLOG_CHECK(fd_ >= 0);
    Append(bytes);
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  void Append(absl::string_view bytes) {
    LOGLOG_CHECK(write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  std::string path() const { return absl::StrCat("/proc/self/fd/", fd_); }

 private:
  const int fd_;
};

}  // namespace loglog

#endif  // LOGLOG_TESTS_FUZZ_MEMORY_FILE_H_
