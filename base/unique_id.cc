#include "base/unique_id.h"

#include <sys/random.h>

#include <cerrno>

#include "absl/strings/escaping.h"
#include "base/check.h"

namespace loglog {

std::string RandomHexId(int bytes) {
  std::string random(bytes, '\0');
  size_t filled = 0;
  while (filled < random.size()) {
    const ssize_t got = getrandom(random.data() + filled, random.size() - filled, 0);
    LOGLOG_CHECK(got > 0 || errno == EINTR);
    if (got > 0) filled += got;
  }
  return absl::BytesToHexString(random);
}

}  // namespace loglog
