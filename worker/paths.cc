#include "worker/paths.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/status.h"

namespace loglog::worker {
namespace {

constexpr mode_t kDirMode = 0700;
constexpr size_t kStoreIdMax = 64;

bool IsDigits(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
}

bool HasParentStep(const std::filesystem::path& path) {
  return std::any_of(path.begin(), path.end(), [](const auto& part) { return part == ".."; });
}

}  // namespace

absl::Status CheckFolder(const std::string& path, absl::string_view flag, bool shared) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("cannot open folder ", path));
  const absl::Cleanup closer = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) != 0) return ErrnoStatus(errno, absl::StrCat("cannot look at ", path));
  if (shared && (info.st_mode & S_IWOTH) == 0) return absl::OkStatus();
  if (!shared && info.st_uid != geteuid()) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " belongs to user ", info.st_uid, ", and this worker runs as user ", geteuid(),
        "; give it a folder of its own with ", flag, ", or start it as that user"));
  }
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "other users can write to %s (its mode is %04o) and exchange what trainers read there; "
        "use chmod %s %s, or give another folder with %s",
        path, info.st_mode & 07777, shared ? "o-w" : "go-w", path, flag));
  }
  if ((info.st_mode & 07777 & ~kDirMode) != 0 && fchmod(fd, kDirMode) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot keep others from reading ", path));
  }
  return absl::OkStatus();
}

absl::Status MakeFoldersBelow(const std::string& root, const std::vector<std::string>& names) {
  std::string path = root;
  for (const std::string& name : names) {
    absl::StrAppend(&path, "/", name);
    if (mkdir(path.c_str(), kDirMode) == 0) continue;
    const int error = errno;
    if (IsFolder(path)) continue;
    if (error != EEXIST) return ErrnoStatus(error, absl::StrCat("cannot make folder ", path));
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is no folder (a symbolic link is none here); remove it"));
  }
  return absl::OkStatus();
}

bool IsStoreId(absl::string_view id) {
  const bool plain =
      !id.empty() && id.size() <= kStoreIdMax && std::all_of(id.begin(), id.end(), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
      });
  return plain && id != "checkpoints" && id != "lock" && id != "store-id" && id != "worker-id" &&
         !absl::StartsWith(id, "survivor-");
}

absl::StatusOr<std::string> LocalCheckpoint(const std::string& folder, const std::string& path) {
  const std::filesystem::path named = path;
  if (named.is_absolute() && !HasParentStep(named)) {
    if (absl::StartsWith(path, folder + "/")) return path;
    const std::string step = named.filename().string();
    const std::string task = named.parent_path().filename().string();
    if (absl::StartsWith(step, "step-") && IsDigits(absl::StripPrefix(step, "step-")) &&
        absl::StartsWith(task, "task-") && IsDigits(absl::StripPrefix(task, "task-"))) {
      return absl::StrCat(folder, "/", task, "/", step);
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the checkpoint to resume from, '", path, "', is none under ", folder,
                   " and has not the form .../task-N/step-M; it is not opened"));
}

absl::Status CheckGlobs(const nlohmann::json& task) {
  if (!task.is_object() || !task.contains("members") || !task["members"].is_array()) {
    return absl::OkStatus();  // the trainer says what is wrong with it
  }
  const auto leaves = [](const std::string& path) {
    const std::filesystem::path normal = std::filesystem::path(path).lexically_normal();
    return normal.begin() != normal.end() && *normal.begin() == "..";
  };
  size_t member = 0;
  for (const nlohmann::json& each : task["members"]) {
    for (const char* field : {"data/train/glob", "data/val/glob", "data/train/domains",
                              "data/val/domains", "init/weights/path"}) {
      const nlohmann::json::json_pointer place(absl::StrCat("/config/", field));
      if (!each.is_object() || !each.contains(place) || !each[place].is_string()) continue;
      const std::string text = each[place].get<std::string>();
      // Domains are several globs with their names and weights.
      const bool several = absl::EndsWith(field, "domains");
      const std::vector<std::string> paths =
          several ? absl::StrSplit(text, absl::ByAnyChar("; ")) : std::vector<std::string>{text};
      if (std::none_of(paths.begin(), paths.end(), leaves)) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "members[", member, "].config.", absl::StrReplaceAll(field, {{"/", "."}}), " '", text,
          "' leaves the worker's --data-root; write it without .., or as an absolute path"));
    }
    ++member;
  }
  return absl::OkStatus();
}

}  // namespace loglog::worker
