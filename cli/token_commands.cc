#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/status.h"
#include "base/unique_id.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/tables.h"
#include "store/token.h"

namespace loglog::cli {
namespace {

constexpr int64_t kDayMs = 24 * 3'600'000;

// The file comes first: a token that nobody can read would let nobody in, and stay. It takes the
// place of an earlier one only once the coordinator knows the token.
absl::StatusOr<v1::Token> CreateInFile(Client& client, const v1::CreateTokenRequest& request,
                                       const std::string& token, const std::string& path) {
  if (std::error_code error; std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--out ", path, " is a folder: name a file in it; no token was made"));
  }
  const std::string beside = absl::StrCat(path, ".new-", RandomHexId(6));
  const absl::Status status = WriteFileAtomically(beside, absl::StrCat(token, "\n"), 0600);
  if (!status.ok()) {
    return WithHint(Annotate(status, absl::StrCat("--out ", path)),
                    "no token was made; name a file in a folder that you may write to");
  }
  const absl::Cleanup remove = [&beside] { std::remove(beside.c_str()); };
  LOGLOG_ASSIGN_OR_RETURN(v1::Token made, client.CreateToken(request));
  if (std::rename(beside.c_str(), path.c_str()) != 0) {
    return WithHint(
        ErrnoStatus(errno, absl::StrCat("--out: cannot write ", path)),
        absl::StrCat("nobody has this token: loglog token revoke ", ShortName(made.name())));
  }
  return made;
}

absl::StatusOr<int> Create(Context& context) {
  const Args& args = context.args();
  v1::CreateTokenRequest request;
  request.set_caller(args.One("NAME"));
  v1::Role role = v1::ROLE_UNSPECIFIED;
  v1::Role_Parse(absl::AsciiStrToUpper(args.Get("role")), &role);
  request.set_role(role);
  request.set_worker(args.Get("worker"));
  if ((role == v1::WORKER) != args.Has("worker")) {
    return WithHint(
        absl::InvalidArgumentError("--worker belongs to --role worker, and to no other"),
        "loglog token create gpu-1 --role worker --worker gpu-1");
  }
  LOGLOG_ASSIGN_OR_RETURN(const int64_t days, args.Int("days", 0, 36'500));
  request.set_ttl_ms(days * kDayMs);
  const std::string token = MakeToken();
  request.set_sha256(TokenSha256(token));
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  const std::string out = args.Get("out");
  LOGLOG_ASSIGN_OR_RETURN(const v1::Token made, out.empty()
                                                    ? client->CreateToken(request)
                                                    : CreateInFile(*client, request, token, out));
  if (context.machine_output()) {
    context.PrintRecord(TokenTable({made}, out.empty() ? token : ""));
    return kExitOk;
  }
  if (out.empty()) context.Print(absl::StrCat(token, "\n"));
  context.Note(absl::StrCat(made.name(), " of ", made.caller(), ", ", args.Get("role"),
                            request.worker().empty() ? "" : absl::StrCat(" ", request.worker()),
                            days == 0 ? "; does not expire" : absl::StrCat("; for ", days, " days"),
                            out.empty() ? "; shown this once" : absl::StrCat("; in ", out)));
  return kExitOk;
}

absl::StatusOr<int> List(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<v1::Token> tokens, client->ListTokens());
  context.Print(TokenTable(tokens));
  return kExitOk;
}

absl::StatusOr<int> Revoke(Context& context) {
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  std::vector<v1::Token> revoked;
  for (const std::string& name : context.args().Many("TOKEN")) {
    LOGLOG_ASSIGN_OR_RETURN(v1::Token token, client->RevokeToken(TokenName(name)));
    revoked.push_back(std::move(token));
  }
  if (context.machine_output()) {
    context.Print(TokenTable(revoked));
    return kExitOk;
  }
  for (const v1::Token& token : revoked) {
    context.Note(absl::StrCat(token.name(), " of ", token.caller(), " lets nobody in any more"));
  }
  return kExitOk;
}

}  // namespace

std::vector<Command> TokenCommands() {
  return {
      {.path = "token create",
       .summary = "let somebody in: make a token, shown once",
       .details = "Only its hash is sent and stored. To replace one, create another, then revoke "
                  "the old.\n"
                  "  viewer     reads\n"
                  "  submitter  and submits and steers sweeps, trials and fits\n"
                  "  worker     runs tasks, as the worker of --worker\n"
                  "  admin      everything",
       .positionals = {{.name = "NAME", .help = "who it is for, as events will say"}},
       .flags = {{.name = "role",
                  .value = "ROLE",
                  .help = "what its owner may do",
                  .default_value = "viewer",
                  .choices = {"viewer", "submitter", "worker", "admin"}},
                 {.name = "worker",
                  .value = "ID",
                  .help =
                      "the worker it is for: gpu-1, 'gpu-*' for all that begin so, '*' for any"},
                 {.name = "days",
                  .value = "N",
                  .help = "how long it holds; 0: until it is revoked",
                  .default_value = "90"},
                 {.name = "out",
                  .value = "FILE",
                  .help = "write it to a file that only you may read, and do not show it"}},
       .run = Create},
      {.path = "token list", .summary = "who is let in, until when, last used", .run = List},
      {.path = "token revoke",
       .summary = "let nobody in by a token any more, from now on",
       .positionals = {{.name = "TOKEN",
                        .help = "its number, from `loglog token list`",
                        .many = true}},
       .run = Revoke},
  };
}

}  // namespace loglog::cli
