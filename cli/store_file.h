#ifndef LOGLOG_CLI_STORE_FILE_H_
#define LOGLOG_CLI_STORE_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/context.h"
#include "store/read_store.h"

namespace loglog::cli {

// Of commands that read a store's file themselves.
extern const Flag kStoreFlag;

// The file of --store; else of the coordinator, when it is on this host, or ./loglog.db when
// none answers.
absl::StatusOr<std::string> StorePath(Context& context);
absl::StatusOr<std::unique_ptr<ReadStore>> OpenStore(const std::string& path);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_STORE_FILE_H_
