#include "cli/store_file.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/client.h"

namespace loglog::cli {
namespace {

// The store that the coordinator serves, or ./loglog.db when none answers. Its path is used
// only where it means the same file to this process; a wrong store would answer too.
absl::StatusOr<std::string> DefaultStore(Context& context) {
  const absl::StatusOr<std::unique_ptr<Client>> client =
      Client::Create({.address = context.address(),
                      .security = context.security(),
                      .deadline_ms = 1'000,
                      .tries = 1});
  if (!client.ok()) return "./loglog.db";
  const absl::StatusOr<v1::ServerInfo> info = (*client)->GetServerInfo();
  if (!info.ok()) return "./loglog.db";
  const std::string& path = info->store_path();
  std::error_code error;
  std::string why;
  if (!IsLocalAddress(context.address())) {
    why = ", on another host";
  } else if (!std::filesystem::path(path).is_absolute()) {
    why = ", relative to its own folder";
  } else if (!std::filesystem::exists(path, error)) {
    why = ", which is no file on this host";
  } else {
    return path;
  }
  return WithHint(absl::FailedPreconditionError(absl::StrCat(
                      "the coordinator at ", context.address(), " keeps its store at ", path, why)),
                  "name the store's file with --store");
}

}  // namespace

const Flag kStoreFlag = {
    .name = "store",
    .value = "FILE",
    .help = "store file (default: the coordinator's, when it is on this host; else ./loglog.db)",
    .from_env = true};

absl::StatusOr<std::string> StorePath(Context& context) {
  const std::string path = context.args().Get("store");
  return path.empty() ? DefaultStore(context) : path;
}

absl::StatusOr<std::unique_ptr<ReadStore>> OpenStore(const std::string& path) {
  absl::StatusOr<std::unique_ptr<ReadStore>> store = ReadStore::Open(path);
  if (store.ok()) return store;
  return WithHint(store.status(), "name the store's file with --store, or start `loglog up` here");
}

}  // namespace loglog::cli
