#ifndef LOGLOG_CLI_HELP_H_
#define LOGLOG_CLI_HELP_H_

#include <string>
#include <vector>

#include "cli/args.h"
#include "cli/render/style.h"

namespace loglog::cli {

// Help for one command, for a group ("sweep") or, with neither, for the program.
std::string RenderHelp(const std::vector<Command>& commands, const Command* command,
                       const std::string& group, const Style& style);

// Shell code that completes commands, subcommands, flags and flags' choices.
// `shell` is bash, zsh or fish.
std::string CompletionScript(const std::vector<Command>& commands, const std::string& shell);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_HELP_H_
