#include <sys/statfs.h>
#include <sys/statvfs.h>

#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/binaries.h"
#include "cli/child.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/render/text.h"
#include "cli/tables.h"
#include "cli/version.h"
#include "store/store_file.h"

namespace loglog::cli {
namespace {

enum class Health { kOk, kFail, kSkipped };

struct Finding {
  std::string check;
  Health health = Health::kOk;
  std::string detail;
  std::string fix;
};

constexpr double kDiskBytesMin = 1 << 30;

std::string LastLine(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  const size_t newline = text.rfind('\n');
  return Printable(newline == absl::string_view::npos ? text : text.substr(newline + 1));
}

Finding FromError(std::string check, const absl::Status& status) {
  return {std::move(check), Health::kFail, std::string(status.message()), HintOf(status)};
}

void CheckBinaries(Context& context, std::vector<Finding>* findings) {
  for (const char* name : {"loglog-coordinator", "loglog-worker", "loglog-trainer"}) {
    const absl::StatusOr<std::string> path = FindBinary(context.io(), name);
    if (!path.ok()) {
      findings->push_back(FromError(name, path.status()));
      continue;
    }
    const std::string canonical = std::filesystem::path(*path).lexically_normal().string();
    const absl::StatusOr<CapturedRun> run = RunCaptured({*path, "--version"}, 30'000);
    const bool trainer = absl::StrContains(name, "trainer");
    const std::string fix =
        trainer ? "LibTorch must load: run deploy/setup.sh again and rebuild, or see "
                  "what `ldd` says of it"
                : absl::StrCat("build ", name, " again");
    if (!run.ok()) {
      findings->push_back({name, Health::kFail, std::string(run.status().message()), fix});
    } else if (run->status.exit_code != 0) {
      findings->push_back({name, Health::kFail,
                           absl::StrCat(canonical, " does not start: ", LastLine(run->output)),
                           fix});
    } else if (!absl::StrContains(run->output, kVersion)) {
      findings->push_back({name, Health::kFail,
                           absl::StrCat(canonical, " is of another version than loglog ", kVersion,
                                        ": ", LastLine(run->output)),
                           absl::StrCat("build ", name, " again, from the same tree")});
    } else {
      findings->push_back(
          {name, Health::kOk, absl::StrCat(canonical, trainer ? ", LibTorch loads" : ""), ""});
    }
  }
}

// The kind of a network file system that holds `folder`; else "".
std::string NetworkFileSystem(const std::string& folder) {
  struct statfs info = {};
  if (statfs(folder.c_str(), &info) != 0) return "";
  const char* const name = NetworkFileSystemName(static_cast<unsigned long>(info.f_type));
  return name == nullptr ? "" : name;
}

Finding CheckFileSystem(const std::string& folder) {
  const std::string kind = NetworkFileSystem(folder);
  if (kind.empty())
    return {"file system", Health::kOk, absl::StrCat(folder, " is a local one"), ""};
  return {"file system", Health::kFail,
          absl::StrCat(folder, " is on ", kind, ", where SQLite corrupts or blocks"),
          "keep the store on a local disk: loglog up --store /var/tmp/loglog.db"};
}

Finding CheckDisk(const std::string& folder) {
  struct statvfs info = {};
  if (statvfs(folder.c_str(), &info) != 0) {
    return {"disk", Health::kSkipped, absl::StrCat("cannot look at ", folder), ""};
  }
  const double free_bytes = static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize);
  const std::string detail = absl::StrCat(HumanBytes(free_bytes), " free at ", folder);
  if (free_bytes >= kDiskBytesMin) return {"disk", Health::kOk, detail, ""};
  return {"disk", Health::kFail, detail, "free some space: workers with a full disk take no work"};
}

void CheckCoordinator(Context& context, std::vector<Finding>* findings) {
  const absl::StatusOr<Client*> client = context.client();
  const absl::StatusOr<v1::ServerInfo> info =
      client.ok() ? (*client)->GetServerInfo() : absl::StatusOr<v1::ServerInfo>(client.status());
  std::error_code error;
  std::string folder = std::filesystem::current_path(error).string();
  if (!info.ok()) {
    findings->push_back(FromError("coordinator", info.status()));
    findings->push_back({"versions", Health::kSkipped, "no coordinator to ask", ""});
  } else {
    findings->push_back(
        {"coordinator", Health::kOk,
         absl::StrCat(context.address(), ", process ", info->pid(), ", store ", info->store_path(),
                      " (", HumanBytes(static_cast<double>(info->store_bytes())), ")"),
         ""});
    if (!info->auth_required()) {
      findings->push_back({"access", Health::kOk, "nobody is asked who they are", ""});
    } else {
      findings->push_back({"access", Health::kOk,
                           absl::StrCat("you are ", info->caller(), ", ", info->caller_role()),
                           ""});
    }
    if (info->version() == kVersion) {
      findings->push_back({"versions", Health::kOk,
                           absl::StrCat("coordinator and loglog are both ", kVersion), ""});
    } else {
      findings->push_back({"versions", Health::kFail,
                           absl::StrCat("coordinator ", info->version(), ", loglog ", kVersion),
                           "start the coordinator again from this build: loglog up"});
    }
    // A path of another host, or relative to another folder, says nothing about this one.
    const std::filesystem::path store = info->store_path();
    std::error_code missing;
    if (IsLocalAddress(context.address()) && store.is_absolute() &&
        std::filesystem::exists(store.parent_path(), missing)) {
      folder = store.parent_path().string();
    }
  }
  if (folder.empty()) {
    findings->push_back({"file system", Health::kFail, "the current folder is gone",
                         "change to a folder that exists"});
  } else {
    findings->push_back(CheckFileSystem(folder));
    findings->push_back(CheckDisk(folder));
  }
  if (!info.ok()) {
    findings->push_back({"workers", Health::kSkipped, "no coordinator to ask", ""});
    return;
  }
  const absl::StatusOr<std::vector<v1::Worker>> workers = (*client)->ListWorkers();
  if (!workers.ok()) {
    findings->push_back(FromError("workers", workers.status()));
    return;
  }
  int live = 0, slots = 0;
  for (const v1::Worker& worker : *workers) {
    if (worker.state() == v1::Worker::LIVE) {
      ++live;
      slots += worker.slots();
    } else if (worker.state() == v1::Worker::QUARANTINED || worker.state() == v1::Worker::LOST) {
      findings->push_back(
          {absl::StrCat("worker ", ShortName(worker.name())), Health::kFail,
           absl::StrCat(StateWord(worker.state()), worker.reason().empty() ? "" : ": ",
                        worker.reason()),
           worker.state() == v1::Worker::LOST
               ? "look at its host, and start it again there"
               : absl::StrCat("once fixed: loglog worker resume ", ShortName(worker.name()))});
    }
  }
  if (live > 0) {
    findings->push_back(
        {"workers", Health::kOk, absl::StrCat(live, " live, ", Plural(slots, "slot")), ""});
  } else {
    findings->push_back({"workers", Health::kFail, "none is live: trials stay pending",
                         absl::StrCat("loglog worker start --coordinator ", context.address())});
  }
}

absl::StatusOr<int> Doctor(Context& context) {
  std::vector<Finding> findings;
  CheckBinaries(context, &findings);
  CheckCoordinator(context, &findings);
  int failed = 0;
  Table table;
  table.kind = "checks";
  table.columns = {{"check"}, {"result"}, {"detail"}, {"fix"}};
  std::string screen;
  const Style& style = context.style();
  for (const Finding& f : findings) {
    failed += f.health == Health::kFail;
    const char* word = f.health == Health::kOk     ? "ok"
                       : f.health == Health::kFail ? "FAIL"
                                                   : "skipped";
    const std::string painted = f.health == Health::kOk     ? style.Green("ok  ")
                                : f.health == Health::kFail ? style.Red("FAIL")
                                                            : style.Dim("-   ");
    table.rows.push_back(
        {Cell::Text(f.check), Cell::Text(word), Cell::Text(f.detail), Cell::Text(f.fix)});
    absl::StrAppend(&screen, painted, "  ", PadRight(f.check, 20), " ", f.detail, "\n");
    if (!f.fix.empty()) absl::StrAppend(&screen, std::string(27, ' '), "fix: ", f.fix, "\n");
  }
  if (context.machine_output()) {
    context.Print(table);
  } else {
    context.Print(screen);
  }
  if (failed == 0) return kExitOk;
  context.Note(absl::StrCat(failed, " of ", Plural(static_cast<int64_t>(findings.size()), "check"),
                            " failed"));
  return kExitFailure;
}

}  // namespace

std::vector<Command> DoctorCommands() {
  return {{.path = "doctor",
           .summary = "check this installation, the coordinator and the workers",
           .run = Doctor}};
}

}  // namespace loglog::cli
