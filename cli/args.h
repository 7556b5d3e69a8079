#ifndef LOGLOG_CLI_ARGS_H_
#define LOGLOG_CLI_ARGS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace loglog::cli {

// A flag, declared once: parsing, help, completion, the configuration file and
// LOGLOG_* variables all read this.
struct Flag {
  std::string name;   // "coordinator", without dashes
  char letter = 0;    // 'o' for -o
  std::string value;  // "ADDR"; empty for a switch
  std::string help;
  std::string default_value;
  std::vector<std::string> choices;
  bool repeated = false;
  bool from_env = false;  // LOGLOG_<NAME> sets it
};

struct Positional {
  std::string name;  // "SPEC"
  std::string help;
  bool required = true;
  bool many = false;  // only the last one
  std::vector<std::string> choices;
};

// Flag values and positionals of one command line, after flags > environment >
// configuration file > defaults. Immutable after parsing.
class Args {
 public:
  // Given anywhere (not only by default).
  bool Has(absl::string_view flag) const;
  bool On(absl::string_view flag) const;
  // Given on the command line itself.
  bool OnLine(absl::string_view flag) const { return on_line_.contains(flag); }
  // The last value, or the default; "" when there is none.
  std::string Get(absl::string_view flag) const;
  std::vector<std::string> All(absl::string_view flag) const;
  absl::StatusOr<int64_t> Int(absl::string_view flag, int64_t low, int64_t high) const;
  // Accepts k, M, B, T suffixes and 1e6.
  absl::StatusOr<double> Number(absl::string_view flag, double low, double high) const;
  // "30s", "5m", "2h", "500ms"; a bare number is seconds, and so are the bounds.
  absl::StatusOr<double> Seconds(absl::string_view flag, double low, double high) const;
  // A positional that may hold several values.
  std::vector<std::string> Many(absl::string_view positional) const;
  std::string One(absl::string_view positional) const;
  // What a pass-through command hands on, in order.
  const std::vector<std::string>& rest() const { return rest_; }

 private:
  friend class ArgsBuilder;
  std::map<std::string, std::vector<std::string>, std::less<>> flags_;
  std::map<std::string, std::string, std::less<>> defaults_;
  std::map<std::string, std::vector<std::string>, std::less<>> positionals_;
  std::vector<std::string> rest_;
  std::set<std::string, std::less<>> on_line_;
};

class Context;

struct Command {
  std::string path;  // "sweep list"
  std::string summary;
  std::string details;  // paragraphs and examples for --help
  std::vector<Positional> positionals;
  std::vector<Flag> flags;
  bool pass_through = false;  // unknown flags are kept in Args::rest()
  bool hidden = false;
  std::function<absl::StatusOr<int>(Context&)> run;
};

// Flags that every command has.
const std::vector<Flag>& GlobalFlags();

struct ParseInput {
  const std::vector<Command>* commands;
  std::vector<std::string> tokens;  // argv without the program's name
  std::map<std::string, std::string> env;
};

struct ParsedCommand {
  const Command* command = nullptr;  // null: general help was asked for
  std::string group;                 // help for "sweep", say
  bool help = false;
  bool version = false;
  Args args;
};

// Statuses are INVALID_ARGUMENT with a message for the user, a guess included.
absl::StatusOr<ParsedCommand> ParseCommandLine(const ParseInput& input);

// Format asked for, as far as one can tell, even when the command line is wrong.
bool WantsJson(const std::vector<std::string>& tokens,
               const std::map<std::string, std::string>& env);

// Whether --no-color or LOGLOG_NO_COLOR forbids colour, before anything is parsed: help and
// errors of the command line itself have to know.
bool WantsNoColor(const std::vector<std::string>& tokens,
                  const std::map<std::string, std::string>& env);

// "5000", "120k", "1.5e6", "2.5B": false when `text` is no number with a unit of k, M, B or T.
bool ReadSize(absl::string_view text, double* value);

// An error with one line of advice that is shown, and encoded in JSON, apart.
absl::Status WithHint(absl::Status status, absl::string_view hint);
std::string HintOf(const absl::Status& status);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_ARGS_H_
