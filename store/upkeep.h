#ifndef LOGLOG_STORE_UPKEEP_H_
#define LOGLOG_STORE_UPKEEP_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog {

// What a person does to a store from outside, each a blocking call on any thread. A copy is
// one file without a write-ahead log, with the permissions of the store. It is read back and
// durable before it has its name, so a name never holds half a store; a copy that was cut
// short leaves NAME.partial, which the next one to that name takes over.
//
// Errors of all: NOT_FOUND no such store or folder; FAILED_PRECONDITION not a Loglog store,
// newer than this program, or in use where it must not be; ALREADY_EXISTS the target is
// there; RESOURCE_EXHAUSTED not enough disk; DATA_LOSS damaged; PERMISSION_DENIED.

struct CopiedStore {
  int64_t bytes = 0;
  int64_t trials_open = 0;  // that had not ended
};

// Copies the store as it is at one moment, also while a coordinator writes to it.
absl::StatusOr<CopiedStore> BackupStore(absl::string_view path, absl::string_view to);

// Makes the store one file that can be read from a folder where nothing may be written; with
// `to`, makes such a copy and leaves the store as it is. FAILED_PRECONDITION: a coordinator
// has it, or (in place) somebody reads it. A coordinator that opens a sealed store later makes
// it an ordinary one again.
absl::StatusOr<CopiedStore> SealStore(absl::string_view path, absl::string_view to = "");

struct CompactedStore {
  int64_t bytes_before = 0;
  int64_t bytes_after = 0;
};

// Rewrites the store without unused space; it is sealed then. FAILED_PRECONDITION: in use.
absl::StatusOr<CompactedStore> CompactStore(absl::string_view path);

}  // namespace loglog

#endif  // LOGLOG_STORE_UPKEEP_H_
