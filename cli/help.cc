#include "cli/help.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/render/text.h"

namespace loglog::cli {
namespace {

std::string Usage(const Command& command) {
  std::string usage = absl::StrCat("loglog ", command.path);
  for (const Positional& p : command.positionals) {
    const std::string name = absl::StrCat(p.name, p.many ? "..." : "");
    absl::StrAppend(&usage, " ", p.required ? name : absl::StrCat("[", name, "]"));
  }
  return absl::StrCat(usage, " [flags]");
}

std::string FlagLine(const Flag& flag) {
  std::string left = absl::StrCat(
      "  ", flag.letter != 0 ? absl::StrCat("-", std::string(1, flag.letter), ", ") : "    ", "--",
      flag.name, flag.value.empty() ? "" : absl::StrCat(" ", flag.value));
  std::string help = flag.help;
  if (!flag.choices.empty()) absl::StrAppend(&help, ": ", absl::StrJoin(flag.choices, "|"));
  if (!flag.default_value.empty()) absl::StrAppend(&help, " (default ", flag.default_value, ")");
  if (flag.repeated) absl::StrAppend(&help, "; may be repeated");
  std::string out;
  const std::vector<std::string> lines = Wrap(help, 52);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i == 0 && DisplayWidth(left) > 26) {
      absl::StrAppend(&out, left, "\n");
      left.clear();
    }
    absl::StrAppend(&out, PadRight(i == 0 ? left : "", 27), lines[i], "\n");
  }
  return out;
}

std::string CommandHelp(const Command& command, const Style& style) {
  std::string out =
      absl::StrCat(command.summary, "\n\n", style.Bold("usage:"), " ", Usage(command), "\n");
  if (!command.details.empty()) absl::StrAppend(&out, "\n", command.details, "\n");
  if (!command.positionals.empty()) {
    absl::StrAppend(&out, "\n", style.Bold("arguments:"), "\n");
    for (const Positional& p : command.positionals) {
      absl::StrAppend(&out, PadRight(absl::StrCat("  ", p.name), 27), p.help, "\n");
    }
  }
  if (!command.flags.empty()) {
    absl::StrAppend(&out, "\n", style.Bold("flags:"), "\n");
    for (const Flag& flag : command.flags) out += FlagLine(flag);
  }
  absl::StrAppend(&out, "\n", style.Bold("flags of every command:"), "\n");
  for (const Flag& flag : GlobalFlags()) out += FlagLine(flag);
  return out;
}

}  // namespace

std::string RenderHelp(const std::vector<Command>& commands, const Command* command,
                       const std::string& group, const Style& style) {
  if (command != nullptr) return CommandHelp(*command, style);
  std::string out;
  if (group.empty()) {
    absl::StrAppend(&out,
                    "Loglog runs scaling-law sweeps: a grid of treatments, model sizes, token\n"
                    "budgets and seeds goes in; fitted slopes with intervals come out.\n\n",
                    style.Bold("usage:"), " loglog COMMAND [arguments] [flags]\n\n");
  } else {
    absl::StrAppend(&out, style.Bold("usage:"), " loglog ", group,
                    " COMMAND [arguments] [flags]\n\n");
  }
  out += style.Bold("commands:");
  out += "\n";
  for (const Command& c : commands) {
    if (c.hidden || (!group.empty() && !absl::StartsWith(c.path, absl::StrCat(group, " "))))
      continue;
    absl::StrAppend(&out, "  ", PadRight(c.path, 18), " ", c.summary, "\n");
  }
  if (group.empty()) {
    absl::StrAppend(&out,
                    "\nloglog COMMAND --help tells more. Start with: loglog demo\n"
                    "Settings: flags, then LOGLOG_* variables, then ~/.config/loglog/config.toml.\n"
                    "Exit codes: 0 ok, 1 failure, 2 usage or invalid spec, 3 not found, 4 auth,\n"
                    "5 coordinator unreachable, 6 timeout, 7 the sweep ended with failed trials,\n"
                    "8 there are differences, 130 interrupted.\n");
  }
  return out;
}

}  // namespace loglog::cli
