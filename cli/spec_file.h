#ifndef LOGLOG_CLI_SPEC_FILE_H_
#define LOGLOG_CLI_SPEC_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "plan/plan.h"

namespace loglog::cli {

// Reads a file, or standard input for "-". NOT_FOUND names what is missing.
absl::StatusOr<std::string> ReadTextFile(absl::string_view path);

// A spec from a file with overrides applied.
absl::StatusOr<SweepSpec> LoadSpec(absl::string_view path,
                                   const std::vector<std::string>& overrides);

// Tokens in the shards that the spec's glob for "train" or "val" matches below
// `data_root`; nothing when there is no such file here (it may be on the workers).
std::optional<int64_t> CountDataTokens(const SweepSpec& spec, absl::string_view split,
                                       absl::string_view data_root);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_SPEC_FILE_H_
