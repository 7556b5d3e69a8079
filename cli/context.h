#ifndef LOGLOG_CLI_CONTEXT_H_
#define LOGLOG_CLI_CONTEXT_H_

#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/args.h"
#include "cli/render/style.h"
#include "cli/render/table.h"

namespace loglog {
struct ClientSecurity;
}

namespace loglog::cli {

class Client;

// The process as a command sees it; tests give their own.
struct Io {
  std::ostream* out;
  std::ostream* err;
  bool out_terminal = false;
  bool err_terminal = false;
  int columns = 80;
  int rows = 24;
  std::map<std::string, std::string> env;
  // Whoever read stdout is gone, which ends a pipeline and is no error.
  std::function<bool()> reader_left;
  // Becomes another program; comes back only with an error.
  std::function<absl::Status(const std::vector<std::string>&)> exec;
};

// What a command works with. Used by the command's thread only.
class Context {
 public:
  Context(Io& io, Args args, const std::vector<Command>& commands);
  ~Context();

  const Args& args() const { return args_; }
  Io& io() { return io_; }
  const std::vector<Command>& commands() const { return commands_; }
  Format format() const { return format_; }
  // Looks of stdout and of stderr: each by whether it is a terminal.
  const Style& style() const { return out_style_; }
  const Style& err_style() const { return err_style_; }
  // Whether a screen may be drawn over itself on stdout, or on stderr. Colour is another
  // question: without it the cursor still moves.
  bool animate_out() const { return io_.out_terminal && env("TERM") != "dumb"; }
  bool animate_err() const { return io_.err_terminal && env("TERM") != "dumb"; }
  std::string env(absl::string_view name) const;

  // Data, to stdout.
  void Print(absl::string_view data);
  void Print(const Table& table) { Print(RenderTable(table, format_, out_style_)); }
  void PrintRecord(const Table& table) { Print(RenderRecord(table, format_, out_style_)); }
  // A message, to stderr, with a line break.
  void Note(absl::string_view message);
  // Next commands, to stderr, at most two and only for a person at a terminal.
  void Next(const std::vector<std::string>& commands);
  bool machine_output() const { return format_ != Format::kTable && format_ != Format::kWide; }

  // The coordinator of --coordinator; the channel is made at the first call.
  absl::StatusOr<Client*> client();
  std::string address() const { return args_.Get("coordinator"); }
  // How to speak to it, as the settings say.
  ClientSecurity security() const;

 private:
  Io& io_;
  const Args args_;
  const std::vector<Command>& commands_;
  Format format_ = Format::kTable;
  Style out_style_;
  Style err_style_;
  std::unique_ptr<Client> client_;
};

// Runs one command line (without the program's name) and returns the exit code. Output that
// cannot be written is a failure, and so is an exception; neither ends the process.
int RunLoglog(const std::vector<std::string>& tokens, Io& io);

// Every command of the program, in the order of the help screen.
std::vector<Command> AllCommands();

int ExitCodeOf(const absl::Status& status);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_CONTEXT_H_
