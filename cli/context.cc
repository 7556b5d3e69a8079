#include "cli/context.h"

#include <exception>
#include <ostream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/client.h"
#include "cli/exit_codes.h"
#include "cli/help.h"
#include "cli/render/text.h"
#include "plan/spec_error.h"

namespace loglog::cli {
namespace {

constexpr double kRpcTimeoutMinS = 1e-3;
constexpr double kRpcTimeoutMaxS = 86400;

std::string Lookup(const std::map<std::string, std::string>& env, absl::string_view name) {
  const auto it = env.find(std::string(name));
  return it == env.end() ? "" : it->second;
}

bool ColorAllowed(const Io& io, bool no_color_flag) {
  return !no_color_flag && Lookup(io.env, "NO_COLOR").empty() && Lookup(io.env, "TERM") != "dumb";
}

// The first of LC_ALL, LC_CTYPE and LANG that is set decides, as for the C library.
bool LocaleIsUtf8(const Io& io) {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string value = Lookup(io.env, name);
    if (value.empty()) continue;
    const std::string lower = absl::AsciiStrToLower(value);
    return absl::StrContains(lower, "utf-8") || absl::StrContains(lower, "utf8");
  }
  return false;
}

void ReportError(const absl::Status& status, bool json, const Style& style, std::ostream& err) {
  // Messages may quote what trainers and other hosts said.
  const std::string message = Printable(status.message());
  const std::string hint = HintOf(status);
  if (json) {
    err << "{\"error\": {\"code\": " << JsonString(absl::StatusCodeToString(status.code()))
        << ", \"message\": " << JsonString(status.message()) << ", \"hint\": " << JsonString(hint)
        << ", \"exit_code\": " << ExitCodeOf(status)
        << ", \"spec_errors\": " << SpecErrorsJson(status) << "}}\n";
    return;
  }
  // Errors of a spec come as a whole screen, with places and guesses.
  if (!SpecErrorsOf(status).empty()) {
    err << message << (absl::EndsWith(message, "\n") ? "" : "\n");
    return;
  }
  err << style.Red("error:") << " " << message << "\n";
  if (!hint.empty()) err << style.Cyan("hint:") << " " << hint << "\n";
}

}  // namespace

Context::Context(Io& io, Args args, const std::vector<Command>& commands)
    : io_(io), args_(std::move(args)), commands_(commands) {
  const bool color = ColorAllowed(io, args_.On("no-color"));
  const bool unicode = LocaleIsUtf8(io);
  out_style_ = {.color = color && io.out_terminal, .unicode = unicode, .columns = io.columns};
  err_style_ = {.color = color && io.err_terminal, .unicode = unicode, .columns = io.columns};
  format_ = ParseFormat(args_.Get("output")).value_or(Format::kTable);
}

Context::~Context() = default;

std::string Context::env(absl::string_view name) const { return Lookup(io_.env, name); }

void Context::Print(absl::string_view data) { io_.out->write(data.data(), data.size()); }

void Context::Note(absl::string_view message) {
  io_.out->flush();
  *io_.err << std::string(message) << "\n";
  io_.err->flush();
}

void Context::Next(const std::vector<std::string>& commands) {
  if (!io_.err_terminal || !io_.out_terminal || machine_output()) return;
  for (size_t i = 0; i < commands.size() && i < 2; ++i) {
    Note(err_style_.Dim(absl::StrCat(i == 0 ? "next: " : "      ", commands[i])));
  }
}

ClientSecurity Context::security() const {
  return {.tls_ca = args_.Get("tls-ca"),
          .tls_cert = args_.Get("tls-cert"),
          .tls_key = args_.Get("tls-key"),
          .token = env("LOGLOG_TOKEN"),
          .token_file = args_.Get("token-file"),
          .insecure = args_.On("insecure")};
}

absl::StatusOr<Client*> Context::client() {
  if (client_ == nullptr) {
    LOGLOG_ASSIGN_OR_RETURN(const double timeout_s,
                            args_.Seconds("rpc-timeout", kRpcTimeoutMinS, kRpcTimeoutMaxS));
    LOGLOG_ASSIGN_OR_RETURN(
        client_, Client::Create({.address = address(),
                                 .security = security(),
                                 .deadline_ms = static_cast<int64_t>(timeout_s * 1000)}));
  }
  return client_.get();
}

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return kExitAuth;
    case absl::StatusCode::kUnavailable:
      return kExitUnreachable;
    case absl::StatusCode::kDeadlineExceeded:
      return kExitTimeout;
    case absl::StatusCode::kCancelled:
      return kExitInterrupted;
    default:
      return kExitFailure;
  }
}

namespace {

int RunParsed(ParsedCommand parsed, const std::vector<Command>& commands, Io& io) {
  Context context(io, std::move(parsed.args), commands);
  const absl::StatusOr<int> code = parsed.command->run(context);
  if (code.ok()) return *code;
  io.out->flush();
  const bool json = context.format() == Format::kJson || context.format() == Format::kJsonl;
  ReportError(code.status(), json, context.err_style(), *io.err);
  return ExitCodeOf(code.status());
}

int RunTokens(const std::vector<std::string>& tokens, Io& io) {
  const std::vector<Command> commands = AllCommands();
  const bool color = ColorAllowed(io, WantsNoColor(tokens, io.env));
  const bool json = WantsJson(tokens, io.env);
  absl::StatusOr<ParsedCommand> parsed =
      ParseCommandLine({.commands = &commands, .tokens = tokens, .env = io.env});
  if (!parsed.ok()) {
    ReportError(parsed.status(), json, {.color = color && io.err_terminal}, *io.err);
    return ExitCodeOf(parsed.status());
  }
  if (parsed->version) return RunTokens({"version"}, io);
  if (parsed->help || parsed->command == nullptr) {
    *io.out << RenderHelp(commands, parsed->command, parsed->group,
                          {.color = color && io.out_terminal});
    return kExitOk;
  }
  return RunParsed(*std::move(parsed), commands, io);
}

}  // namespace

int RunLoglog(const std::vector<std::string>& tokens, Io& io) {
  const auto fail = [&](const absl::Status& status) {
    ReportError(status, WantsJson(tokens, io.env),
                {.color = ColorAllowed(io, WantsNoColor(tokens, io.env)) && io.err_terminal},
                *io.err);
    return ExitCodeOf(status);
  };
  int code = kExitFailure;
  try {
    code = RunTokens(tokens, io);
  } catch (const std::exception& error) {
    code = fail(absl::InternalError(error.what()));
  }
  io.out->flush();
  const bool lost = !*io.out && !(io.reader_left && io.reader_left());
  if (!lost || code != kExitOk) return code;
  return fail(WithHint(absl::InternalError("cannot write to standard output: what it shows is "
                                           "not whole"),
                       "is the disk full? df tells"));
}

}  // namespace loglog::cli
