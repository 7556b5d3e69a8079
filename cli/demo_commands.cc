#include "cli/commands.h"
namespace loglog::cli {
std::vector<Command> DemoCommands() { return {}; }
}  // namespace loglog::cli
