#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "cli/help.h"

namespace loglog::cli {
namespace {

// What may follow each prefix of words: "" -> commands, "sweep" -> its verbs.
std::map<std::string, std::set<std::string>> Words(const std::vector<Command>& commands) {
  std::map<std::string, std::set<std::string>> words;
  for (const Command& command : commands) {
    if (command.hidden) continue;
    const std::vector<std::string> parts = absl::StrSplit(command.path, ' ');
    words[""].insert(parts[0]);
    if (parts.size() > 1) words[parts[0]].insert(parts[1]);
    for (const Positional& p : command.positionals) {
      words[command.path].insert(p.choices.begin(), p.choices.end());
    }
  }
  return words;
}

std::vector<Flag> FlagsOf(const Command& command) {
  std::vector<Flag> flags = command.flags;
  flags.insert(flags.end(), GlobalFlags().begin(), GlobalFlags().end());
  return flags;
}

std::string FlagNames(const Command& command) {
  return absl::StrJoin(FlagsOf(command), " ", [](std::string* out, const Flag& flag) {
    absl::StrAppend(out, "--", flag.name);
  });
}

std::map<std::string, std::vector<std::string>> Choices(const std::vector<Command>& commands) {
  std::map<std::string, std::vector<std::string>> choices;
  for (const Command& command : commands) {
    for (const Flag& flag : FlagsOf(command)) {
      if (!flag.choices.empty()) choices[flag.name] = flag.choices;
    }
  }
  return choices;
}

std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string Bash(const std::vector<Command>& commands) {
  std::string out =
      "# bash completion of loglog; source <(loglog completion bash)\n"
      "_loglog() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local path='' word\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    case \"$word\" in -*) ;; *) case \"$path\" in\n"
      "      '') path=$word ;;\n";
  std::set<std::string> groups;
  for (const Command& command : commands) {
    const std::vector<std::string> parts = absl::StrSplit(command.path, ' ');
    if (parts.size() > 1) groups.insert(parts[0]);
  }
  absl::StrAppend(&out, "      ", absl::StrJoin(groups, "|"), ") path=\"$path $word\" ;;\n",
                  "    esac ;; esac\n  done\n  case \"$previous\" in\n");
  for (const auto& [flag, choices] : Choices(commands)) {
    absl::StrAppend(&out, "    ", flag == "output" ? "-o|" : "", "--", flag,
                    ") COMPREPLY=($(compgen -W '", absl::StrJoin(choices, " "),
                    "' -- \"$current\")); return ;;\n");
  }
  out += "  esac\n  local words='' flags=''\n  case \"$path\" in\n";
  const auto words = Words(commands);
  std::map<std::string, std::string> flags;
  for (const Command& command : commands) {
    if (!command.hidden) flags[command.path] = FlagNames(command);
  }
  std::set<std::string> paths;
  for (const auto& [path, list] : words) paths.insert(path);
  for (const auto& [path, list] : flags) paths.insert(path);
  for (const std::string& path : paths) {
    const auto w = words.find(path);
    const auto f = flags.find(path);
    absl::StrAppend(&out, "    ", Quoted(path),
                    ") words=", Quoted(w == words.end() ? "" : absl::StrJoin(w->second, " ")),
                    " flags=", Quoted(f == flags.end() ? "--help" : f->second), " ;;\n");
  }
  out +=
      "  esac\n"
      "  case \"$current\" in\n"
      "    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$current\")) ;;\n"
      "    *) COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
      "       if [ -z \"$words\" ]; then COMPREPLY=($(compgen -f -- \"$current\")); fi ;;\n"
      "  esac\n"
      "}\n"
      "complete -o filenames -F _loglog loglog\n";
  return out;
}

std::string Fish(const std::vector<Command>& commands) {
  std::string out = "# fish completion of loglog; loglog completion fish | source\n";
  std::set<std::string> first;
  for (const Command& command : commands) {
    if (command.hidden) continue;
    const std::vector<std::string> parts = absl::StrSplit(command.path, ' ');
    if (parts.size() == 1 || first.insert(parts[0]).second) {
      absl::StrAppend(
          &out, "complete -c loglog -n __fish_use_subcommand -f -a ", parts[0], " -d ",
          Quoted(parts.size() == 1 ? command.summary : absl::StrCat(parts[0], " commands")), "\n");
    }
    std::string seen = absl::StrCat("'__fish_seen_subcommand_from ", parts[0]);
    if (parts.size() > 1) {
      absl::StrAppend(&out, "complete -c loglog -n ", seen, "' -f -a ", parts[1], " -d ",
                      Quoted(command.summary), "\n");
      absl::StrAppend(&seen, "; and __fish_seen_subcommand_from ", parts[1]);
    }
    for (const Positional& p : command.positionals) {
      if (!p.choices.empty()) {
        absl::StrAppend(&out, "complete -c loglog -n ", seen, "' -f -a ",
                        Quoted(absl::StrJoin(p.choices, " ")), "\n");
      }
    }
    for (const Flag& flag : FlagsOf(command)) {
      absl::StrAppend(&out, "complete -c loglog -n ", seen, "' -l ", flag.name,
                      flag.letter != 0 ? absl::StrCat(" -s ", std::string(1, flag.letter)) : "",
                      flag.value.empty() ? "" : " -r",
                      flag.choices.empty()
                          ? ""
                          : absl::StrCat(" -f -a ", Quoted(absl::StrJoin(flag.choices, " "))),
                      " -d ", Quoted(flag.help), "\n");
    }
  }
  return out;
}

}  // namespace

std::string CompletionScript(const std::vector<Command>& commands, const std::string& shell) {
  if (shell == "fish") return Fish(commands);
  if (shell == "zsh") {
    return absl::StrCat("# zsh completion of loglog; source <(loglog completion zsh)\n",
                        "autoload -U +X bashcompinit && bashcompinit\n", Bash(commands));
  }
  return Bash(commands);
}

}  // namespace loglog::cli
