#include "cli/spec_file.h"

#include <glob.h>

#include <fstream>
#include <iostream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/args.h"
#include "shards/token_shard.h"

namespace loglog::cli {

absl::StatusOr<std::string> ReadTextFile(absl::string_view path) {
  std::stringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
    return text.str();
  }
  std::ifstream file(std::string(path), std::ios::binary);
  text << file.rdbuf();
  if (!file || file.bad()) {
    return WithHint(absl::NotFoundError(absl::StrCat("cannot read the spec ", path)),
                    "check the path; configs/ has examples, and - reads standard input");
  }
  return text.str();
}

absl::StatusOr<SweepSpec> LoadSpec(absl::string_view path,
                                   const std::vector<std::string>& overrides) {
  LOGLOG_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
  return ParseSpec(text, path, overrides);
}

std::optional<int64_t> CountDataTokens(const SweepSpec& spec, absl::string_view split,
                                       absl::string_view data_root) {
  const std::string glob_field = absl::StrCat("data.", split, ".glob");
  const std::string format_field = absl::StrCat("data.", split, ".format");
  // What only arms or an axis set has no one value, and so no one number of tokens.
  if (spec.base.IsNull(format_field) || spec.base.IsNull(glob_field)) return std::nullopt;
  const std::string format = spec.base.Text(format_field);
  if (format == "synthetic") return std::nullopt;
  std::string pattern = spec.base.Text(glob_field);
  if (!absl::StartsWith(pattern, "/")) pattern = absl::StrCat(data_root, "/", pattern);
  glob_t found = {};
  std::optional<int64_t> tokens;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    tokens = 0;
    try {
      for (size_t i = 0; i < found.gl_pathc; ++i) {
        const TokenShard shard(found.gl_pathv[i],
                               format == "llmc" ? ShardFormat::kLlmc : ShardFormat::kRawU16);
        *tokens += shard.tokens();
      }
    } catch (const std::exception&) {
      // The trainer will say what is wrong with the file; a plan can do without.
      tokens.reset();
    }
  }
  globfree(&found);
  return tokens;
}

}  // namespace loglog::cli
