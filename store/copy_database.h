#ifndef LOGLOG_STORE_COPY_DATABASE_H_
#define LOGLOG_STORE_COPY_DATABASE_H_

#include <string>

#include "absl/status/status.h"

namespace loglog {

// Copies the database at `from`, as it is at one moment while others write to it, into the
// empty file `to`: one file without a write-ahead log, which nobody else looks at yet. Read
// back before it returns. DATA_LOSS: the copy is not sound, so `from` is not.
// RESOURCE_EXHAUSTED: the disk is full.
absl::Status CopyDatabase(const std::string& from, const std::string& to);

// The same without the space that deleted and moved rows left in `from`.
absl::Status CopyCompacted(const std::string& from, const std::string& to);

}  // namespace loglog

#endif  // LOGLOG_STORE_COPY_DATABASE_H_
