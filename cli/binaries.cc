#include "cli/binaries.h"

#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

extern char** environ;

namespace loglog::cli {

std::string SelfPath() {
  char buffer[PATH_MAX];
  const ssize_t length = readlink("/proc/self/exe", buffer, sizeof(buffer));
  return length > 0 ? std::string(buffer, length) : "loglog";
}

absl::StatusOr<std::string> FindBinary(const Io& io, absl::string_view name) {
  const auto lookup = [&](const char* variable) {
    const auto it = io.env.find(variable);
    return it == io.env.end() ? std::string() : it->second;
  };
  std::vector<std::string> folders;
  if (const std::string forced = lookup("LOGLOG_BIN_DIR"); !forced.empty()) {
    folders.push_back(forced);
  } else {
    const std::string self = SelfPath();
    const std::string beside = self.substr(0, self.rfind('/'));
    folders = {beside, absl::StrCat(beside, "/../libexec/loglog")};
    for (absl::string_view folder : absl::StrSplit(lookup("PATH"), ':', absl::SkipEmpty())) {
      folders.push_back(std::string(folder));
    }
  }
  for (const std::string& folder : folders) {
    const std::string path = absl::StrCat(folder, "/", name);
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  if (folders.size() > 2) folders = {folders[0], folders[1], "PATH"};
  const std::string fix =
      name == "loglog-trainer"
          ? "build it with `cmake --workflow --preset release` (needs LibTorch: deploy/setup.sh)"
          : absl::StrCat("build it with `cmake --build build/release --target ", name, "`");
  return WithHint(absl::NotFoundError(absl::StrCat("cannot find ", name, ": looked in ",
                                                   absl::StrJoin(folders, ", "))),
                  absl::StrCat(fix, ", or set LOGLOG_BIN_DIR to its folder"));
}

absl::Status Exec(const std::vector<std::string>& argv) {
  std::vector<char*> pointers;
  for (const std::string& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  execv(pointers[0], pointers.data());
  return absl::InternalError(absl::StrCat("cannot start ", argv[0], ": ", strerror(errno)));
}

std::map<std::string, std::string> Environment() {
  std::map<std::string, std::string> env;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string::npos) env[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return env;
}

}  // namespace loglog::cli
