#ifndef LOGLOG_BASE_UNIQUE_ID_H_
#define LOGLOG_BASE_UNIQUE_ID_H_

#include <string>

namespace loglog {

// `bytes` random bytes from the kernel as lower-case hex: ids that no other process
// or host will make again (16 bytes), or short suffixes (3 bytes). Thread-safe.
std::string RandomHexId(int bytes = 16);

}  // namespace loglog

#endif  // LOGLOG_BASE_UNIQUE_ID_H_
