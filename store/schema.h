#ifndef LOGLOG_STORE_SCHEMA_H_
#define LOGLOG_STORE_SCHEMA_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "store/connection.h"

namespace loglog {

// Step i (from 1) brings a store from user_version i-1 to i.
struct Migration {
  std::string name;
  std::string sql;
};

// The steps in schema/, embedded by the build.
const std::vector<Migration>& Migrations();

// Marks a file as a Loglog store ("LoLg"), so that another program's database is
// never migrated by mistake.
inline constexpr int kApplicationId = 0x4c6f4c67;

// FAILED_PRECONDITION: not a Loglog store, or newer than `newest`. Sets `version`; 0 is
// an empty file.
absl::Status CheckSchema(Connection* db, int newest, int* version);

// FAILED_PRECONDITION: not a store of exactly this program's schema, which its readers need.
absl::Status RequireThisSchema(Connection* db, absl::string_view path);

// FAILED_PRECONDITION: the file at `path` is another program's database, or a newer
// store. Leaves the file as it is; null when there is none. Who keeps the connection until it
// has its own spares a second reading of a log that a crash left.
absl::StatusOr<std::unique_ptr<Connection>> RefuseForeignDatabase(const std::string& path);

// Brings the schema up to date, each step in a transaction of its own. A store that
// holds something is first copied to PATH.v<N>.backup, or, where an older store's copy
// has that name, to PATH.v<N>.backup.2 and so on.
absl::Status Migrate(Connection* db, absl::Span<const Migration> migrations);

}  // namespace loglog

#endif  // LOGLOG_STORE_SCHEMA_H_
