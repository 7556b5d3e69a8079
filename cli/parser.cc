// The only file that includes CLI11: it takes 17 s to compile under the sanitizers.
#include <algorithm>
#include <fstream>
#include <memory>
#include <set>

#include "CLI/CLI.hpp"
#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "cli/args.h"
#include "plan/suggest.h"

namespace loglog::cli {
namespace {

std::string EnvName(absl::string_view flag) {
  return absl::StrCat("LOGLOG_", absl::StrReplaceAll(absl::AsciiStrToUpper(flag), {{"-", "_"}}));
}

bool IsTrue(absl::string_view text) {
  const std::string lower = absl::AsciiStrToLower(text);
  return lower == "1" || lower == "true" || lower == "yes" || lower == "on";
}

std::vector<Flag> AllFlags(const Command& command) {
  std::vector<Flag> flags = command.flags;
  flags.insert(flags.end(), GlobalFlags().begin(), GlobalFlags().end());
  return flags;
}

const Flag* FindFlag(const std::vector<Flag>& flags, absl::string_view token) {
  for (const Flag& flag : flags) {
    if (token == absl::StrCat("--", flag.name)) return &flag;
    if (flag.letter != 0 && token == absl::StrCat("-", std::string(1, flag.letter))) return &flag;
  }
  return nullptr;
}

// Where the command's words end and which command they name.
struct Resolved {
  const Command* command = nullptr;
  std::string group;
  std::vector<std::string> before;  // global flags in front of the command
  size_t next = 0;                  // index of the first token after the words
  bool help = false;
  bool version = false;
};

absl::Status UnknownCommand(const std::vector<Command>& commands, absl::string_view group,
                            absl::string_view word) {
  std::set<std::string> known;
  for (const Command& command : commands) {
    const std::vector<std::string> words = absl::StrSplit(command.path, ' ');
    if (group.empty()) {
      known.insert(words[0]);
    } else if (words[0] == group && words.size() > 1) {
      known.insert(words[1]);
    }
  }
  const std::string guess = NearestWord(word, {known.begin(), known.end()});
  const std::string prefix = group.empty() ? "loglog" : absl::StrCat("loglog ", group);
  return WithHint(
      absl::InvalidArgumentError(absl::StrCat(
          "unknown command `", word, "`", group.empty() ? "" : absl::StrCat(" of `", prefix, "`"),
          guess.empty() ? "" : absl::StrCat(": did you mean `", guess, "`?"))),
      absl::StrCat(prefix, " --help"));
}

absl::StatusOr<Resolved> Resolve(const ParseInput& input) {
  Resolved found;
  const std::vector<std::string>& tokens = input.tokens;
  size_t i = 0;
  for (; i < tokens.size() && absl::StartsWith(tokens[i], "-"); ++i) {
    if (tokens[i] == "-h" || tokens[i] == "--help") {
      found.help = true;
      continue;
    }
    if (tokens[i] == "--version") {
      found.version = true;
      continue;
    }
    const size_t equals = tokens[i].find('=');
    const Flag* flag = FindFlag(GlobalFlags(), absl::string_view(tokens[i]).substr(0, equals));
    if (flag == nullptr) {
      std::vector<std::string> names = {"--version"};
      for (const Flag& known : GlobalFlags()) names.push_back(absl::StrCat("--", known.name));
      const std::string guess = NearestWord(tokens[i], names);
      return WithHint(absl::InvalidArgumentError(absl::StrCat(
                          "unknown flag `", tokens[i], "` before the command",
                          guess.empty() ? "" : absl::StrCat(": did you mean `", guess, "`?"))),
                      "a command's own flags come after it: loglog COMMAND --help");
    }
    found.before.push_back(tokens[i]);
    if (!flag->value.empty() && equals == std::string::npos && i + 1 < tokens.size()) {
      found.before.push_back(tokens[++i]);
    }
  }
  if (i == tokens.size()) {
    found.next = i;
    return found;
  }
  const std::string& first = tokens[i];
  bool is_group = false;
  // `fit show` is a command although `fit` is one: the longer path is meant.
  const std::string longer =
      i + 1 < tokens.size() ? absl::StrCat(first, " ", tokens[i + 1]) : first;
  for (const Command& command : *input.commands) {
    if (command.path == longer && longer != first) {
      found.command = &command;
      found.next = i + 2;
      return found;
    }
  }
  for (const Command& command : *input.commands) {
    if (command.path == first) {
      found.command = &command;
      found.next = i + 1;
      return found;
    }
    if (absl::StartsWith(command.path, absl::StrCat(first, " "))) is_group = true;
  }
  if (!is_group) return UnknownCommand(*input.commands, "", first);
  found.group = first;
  found.next = ++i;
  if (i == tokens.size() || tokens[i] == "-h" || tokens[i] == "--help") {
    found.help = true;
    return found;
  }
  for (const Command& command : *input.commands) {
    if (command.path == absl::StrCat(first, " ", tokens[i])) {
      found.command = &command;
      found.next = i + 1;
      return found;
    }
  }
  return UnknownCommand(*input.commands, first, tokens[i]);
}

absl::Status Extra(const Command& command, const std::string& token) {
  const std::string hint = absl::StrCat("loglog ", command.path, " --help");
  if (!absl::StartsWith(token, "-")) {
    return WithHint(absl::InvalidArgumentError(absl::StrCat(
                        "`loglog ", command.path, "` takes no further argument: `", token, "`")),
                    hint);
  }
  const std::string name = token.substr(0, token.find('='));
  std::vector<std::string> known;
  for (const Flag& flag : AllFlags(command)) known.push_back(absl::StrCat("--", flag.name));
  const std::string guess = NearestWord(name, known);
  return WithHint(absl::InvalidArgumentError(absl::StrCat(
                      "unknown flag `", name, "` for `loglog ", command.path, "`",
                      guess.empty() ? "" : absl::StrCat(": did you mean `", guess, "`?"))),
                  hint);
}

absl::Status CheckChoice(absl::string_view what, const std::string& value,
                         const std::vector<std::string>& choices) {
  if (choices.empty() || absl::c_linear_search(choices, value)) return absl::OkStatus();
  const std::string guess = NearestWord(value, choices);
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is `", value, "`: it takes one of ", absl::StrJoin(choices, ", "),
                   guess.empty() ? "" : absl::StrCat("; did you mean `", guess, "`?")));
}

}  // namespace

// Fills an Args from CLI11's results, the environment and the configuration file.
class ArgsBuilder {
 public:
  ArgsBuilder(const Command& command, const std::map<std::string, std::string>& env)
      : command_(command), env_(env), flags_(AllFlags(command)) {
    for (const Flag& flag : flags_) {
      if (!flag.default_value.empty()) args_.defaults_[flag.name] = flag.default_value;
    }
  }

  absl::Status ParseTokens(std::vector<std::string> tokens) {
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    std::map<std::string, std::vector<std::string>> values;
    std::map<std::string, bool> switches;
    std::map<std::string, const CLI::Option*> switch_options;
    for (const Flag& flag : flags_) {
      std::string names = absl::StrCat("--", flag.name);
      if (flag.letter != 0) absl::StrAppend(&names, ",-", std::string(1, flag.letter));
      if (flag.value.empty()) {
        switch_options[flag.name] = app.add_flag(names, switches[flag.name]);
      } else {
        app.add_option(names, values[flag.name])
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
            ->expected(1)
            ->allow_extra_args(false);
      }
    }
    std::map<std::string, std::vector<std::string>> positionals;
    std::map<std::string, std::string> singles;
    for (const Positional& positional : command_.positionals) {
      if (positional.many) {
        app.add_option(positional.name, positionals[positional.name])->expected(0, 1 << 20);
      } else {
        app.add_option(positional.name, singles[positional.name]);
      }
    }
    // What follows "--" is never a flag of ours; CLI11 would hand the mark itself on.
    const auto mark = std::find(tokens.begin(), tokens.end(), "--");
    std::vector<std::string> verbatim;
    if (mark != tokens.end()) {
      verbatim.assign(mark + 1, tokens.end());
      tokens.erase(mark, tokens.end());
    }
    std::reverse(tokens.begin(), tokens.end());
    try {
      app.parse(std::move(tokens));
    } catch (const CLI::ParseError& error) {
      return WithHint(absl::InvalidArgumentError(Explain(error)),
                      absl::StrCat("loglog ", command_.path, " --help"));
    }
    for (const std::string& extra : app.remaining()) {
      if (!command_.pass_through) return Extra(command_, extra);
      args_.rest_.push_back(extra);
    }
    for (std::string& word : verbatim) {
      if (command_.pass_through) {
        args_.rest_.push_back(std::move(word));
      } else if (!command_.positionals.empty() && command_.positionals.back().many) {
        positionals[command_.positionals.back().name].push_back(std::move(word));
      } else {
        return Extra(command_, word);
      }
    }
    // One that is turned off is there, too: it stands above the environment and the file.
    for (const auto& [name, option] : switch_options) {
      if (option->count() > 0) args_.flags_[name] = {switches[name] ? "true" : "false"};
    }
    for (auto& [name, list] : values) {
      if (!list.empty()) args_.flags_[name] = std::move(list);
    }
    for (const auto& [name, list] : args_.flags_) args_.on_line_.insert(name);
    for (auto& [name, word] : singles) {
      if (!word.empty()) positionals[name] = {std::move(word)};
    }
    for (auto& [name, list] : positionals) {
      if (!list.empty()) args_.positionals_[name] = std::move(list);
    }
    return absl::OkStatus();
  }

  void ApplyEnvironment() {
    for (const Flag& flag : flags_) {
      if (!flag.from_env || args_.Has(flag.name)) continue;
      const auto it = env_.find(EnvName(flag.name));
      if (it == env_.end() || it->second.empty()) continue;
      Apply(flag, {it->second});
    }
  }

  // Top-level keys are global flags; a section [sweep.list] holds a command's own.
  absl::Status ApplyConfigFile() {
    std::string path = args_.Get("config");
    const bool asked_for = !path.empty();
    if (!asked_for) {
      const auto xdg = env_.find("XDG_CONFIG_HOME");
      const auto home = env_.find("HOME");
      if (xdg != env_.end() && !xdg->second.empty()) {
        path = absl::StrCat(xdg->second, "/loglog/config.toml");
      } else if (home != env_.end() && !home->second.empty()) {
        path = absl::StrCat(home->second, "/.config/loglog/config.toml");
      } else {
        return absl::OkStatus();
      }
    }
    std::ifstream file(path);
    if (!file) {
      if (!asked_for) return absl::OkStatus();
      return absl::InvalidArgumentError(
          absl::StrCat("cannot read the configuration file ", path, ": check --config"));
    }
    std::vector<CLI::ConfigItem> items;
    try {
      items = CLI::ConfigTOML().from_config(file);
    } catch (const CLI::Error& error) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.what()));
    }
    const std::string section = absl::StrReplaceAll(command_.path, {{" ", "."}});
    for (const CLI::ConfigItem& item : items) {
      if (item.name == "++" || item.name == "--") continue;  // CLI11's section marks
      const std::string parents = absl::StrJoin(item.parents, ".");
      const bool global = parents.empty() || parents == "default";
      if (!global && parents != section) continue;
      const std::vector<Flag>& known = global ? GlobalFlags() : flags_;
      const Flag* flag = FindFlag(known, absl::StrCat("--", item.name));
      if (flag == nullptr || flag->name == "help" || flag->name == "config") {
        std::vector<std::string> names;
        for (const Flag& f : known) names.push_back(f.name);
        const std::string guess = NearestWord(item.name, names);
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": unknown key `", item.name, "`",
                         global ? "" : absl::StrCat(" in [", section, "]"),
                         guess.empty() ? "" : absl::StrCat(": did you mean `", guess, "`?")));
      }
      // The environment stands above the file, also where it holds the token itself.
      if (flag->name == "token-file" && HasTokenInEnvironment()) continue;
      if (!args_.Has(flag->name)) Apply(*flag, item.inputs);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Args> Finish() {
    for (const Flag& flag : flags_) {
      for (const std::string& value : args_.All(flag.name)) {
        LOGLOG_RETURN_IF_ERROR(CheckChoice(absl::StrCat("--", flag.name), value, flag.choices));
      }
    }
    for (const Positional& positional : command_.positionals) {
      const std::vector<std::string> values = args_.Many(positional.name);
      if (positional.required && values.empty()) {
        return WithHint(
            absl::InvalidArgumentError(absl::StrCat("`loglog ", command_.path, "` needs ",
                                                    positional.name, ": ", positional.help)),
            absl::StrCat("loglog ", command_.path, " --help"));
      }
      for (const std::string& value : values) {
        LOGLOG_RETURN_IF_ERROR(CheckChoice(positional.name, value, positional.choices));
      }
    }
    return std::move(args_);
  }

  const Args& args() const { return args_; }

 private:
  bool HasTokenInEnvironment() const {
    const auto it = env_.find("LOGLOG_TOKEN");
    return it != env_.end() && !it->second.empty();
  }

  std::string Explain(const CLI::ParseError& error) const {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ArgumentMismatch)) {
      for (const Flag& flag : flags_) {
        if (flag.value.empty()) continue;
        if (absl::StrContains(error.what(), absl::StrCat("--", flag.name))) {
          return absl::StrCat("--", flag.name, " needs a value: --", flag.name, " ", flag.value);
        }
      }
    }
    return error.what();
  }

  void Apply(const Flag& flag, std::vector<std::string> values) {
    if (!flag.value.empty()) {
      args_.flags_[flag.name] = std::move(values);
    } else if (!values.empty()) {
      args_.flags_[flag.name] = {IsTrue(values.back()) ? "true" : "false"};
    }
  }

  const Command& command_;
  const std::map<std::string, std::string>& env_;
  const std::vector<Flag> flags_;
  Args args_;
};

absl::StatusOr<ParsedCommand> ParseCommandLine(const ParseInput& input) {
  LOGLOG_ASSIGN_OR_RETURN(const Resolved resolved, Resolve(input));
  ParsedCommand parsed;
  parsed.command = resolved.command;
  parsed.group = resolved.group;
  parsed.help = resolved.help;
  parsed.version = resolved.version;
  if (resolved.command == nullptr || resolved.help || resolved.version) return parsed;
  std::vector<std::string> tokens = resolved.before;
  tokens.insert(tokens.end(), input.tokens.begin() + resolved.next, input.tokens.end());
  ArgsBuilder builder(*resolved.command, input.env);
  LOGLOG_RETURN_IF_ERROR(builder.ParseTokens(std::move(tokens)));
  if (builder.args().On("help")) {
    parsed.help = true;
    return parsed;
  }
  builder.ApplyEnvironment();
  LOGLOG_RETURN_IF_ERROR(builder.ApplyConfigFile());
  LOGLOG_ASSIGN_OR_RETURN(parsed.args, builder.Finish());
  return parsed;
}

bool WantsNoColor(const std::vector<std::string>& tokens,
                  const std::map<std::string, std::string>& env) {
  const std::string with_value = "--no-color=";
  for (const std::string& token : tokens) {
    if (token == "--") break;
    if (token == "--no-color") return true;
    if (absl::StartsWith(token, with_value)) return IsTrue(token.substr(with_value.size()));
  }
  const auto it = env.find("LOGLOG_NO_COLOR");
  return it != env.end() && IsTrue(it->second);
}

bool WantsJson(const std::vector<std::string>& tokens,
               const std::map<std::string, std::string>& env) {
  const auto is_json = [](absl::string_view value) { return value == "json" || value == "jsonl"; };
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::string& token = tokens[i];
    if ((token == "-o" || token == "--output") && i + 1 < tokens.size()) {
      return is_json(tokens[i + 1]);
    }
    for (const char* prefix : {"--output=", "-o="}) {
      if (absl::StartsWith(token, prefix)) {
        return is_json(absl::string_view(token).substr(absl::string_view(prefix).size()));
      }
    }
    if (token == "-ojson" || token == "-ojsonl") return true;
  }
  const auto it = env.find("LOGLOG_OUTPUT");
  return it != env.end() && is_json(it->second);
}

}  // namespace loglog::cli
