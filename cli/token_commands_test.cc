// Tokens: made, listed, revoked, and sent along with every call.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "cli/client.h"
#include "cli/commands_testing.h"
#include "nlohmann/json.hpp"
#include "store/token.h"

namespace loglog::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class TokenCommandsTest : public CommandsTest {};

TEST_F(TokenCommandsTest, ATokenIsShownOnceAndOnlyItsHashIsSent) {
  EXPECT_EQ(Run({"token", "create", "vera"}), 0) << err();
  const std::string token(absl::StripAsciiWhitespace(out()));
  EXPECT_TRUE(IsTokenForm(token)) << token;
  EXPECT_THAT(fake_.hashes, ElementsAre(TokenSha256(token)));
  EXPECT_EQ(fake_.tokens[0].role(), v1::VIEWER);
  EXPECT_EQ(fake_.tokens[0].expire_time_ms(), 90LL * 86'400'000);
  EXPECT_THAT(err(), HasSubstr("tokens/1 of vera, viewer; for 90 days; shown this once"));
  EXPECT_THAT(err(), Not(HasSubstr(token)));
  EXPECT_EQ(Run({"token", "list"}), 0);
  EXPECT_THAT(out(), HasSubstr("vera"));
  EXPECT_THAT(out(), Not(HasSubstr("llg_")));
}

TEST_F(TokenCommandsTest, AWorkersTokenSaysWhichAndMayGoToAFile) {
  const std::string file = testing::TempDir() + "/gpu.token";
  EXPECT_EQ(Run({"token", "create", "gpus", "--role", "worker", "--worker", "gpu-*", "--days", "0",
                 "--out", file}),
            0)
      << err();
  EXPECT_EQ(out(), "");
  EXPECT_THAT(err(), HasSubstr("tokens/1 of gpus, worker gpu-*; does not expire; in " + file));
  struct stat info = {};
  ASSERT_EQ(stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600);
  const std::string token(absl::StripAsciiWhitespace(ReadFile(file).value()));
  EXPECT_THAT(fake_.hashes, ElementsAre(TokenSha256(token)));

  EXPECT_EQ(Run({"token", "create", "x", "--role", "worker"}), 2);
  EXPECT_EQ(Run({"token", "create", "x", "--worker", "gpu-1"}), 2);
  EXPECT_EQ(Run({"token", "create", "x", "--role", "root"}), 2);
  EXPECT_EQ(Run({"token", "create", "x", "--days", "-1"}), 2);
  EXPECT_EQ(fake_.tokens.size(), 1);
}

TEST_F(TokenCommandsTest, NoTokenIsMadeThatItsFileCannotHold) {
  const std::string folder = testing::TempDir() + "/tokens";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const auto create = [&](const std::string& file) {
    return Run({"token", "create", "vera", "--out", file});
  };
  EXPECT_NE(create(folder + "/none/vera.token"), 0);
  EXPECT_THAT(err(), HasSubstr("--out " + folder + "/none/vera.token: cannot create"));
  EXPECT_THAT(err(), HasSubstr("hint: no token was made"));
  EXPECT_EQ(create(folder), 2);
  EXPECT_THAT(err(), HasSubstr("is a folder: name a file in it"));
  EXPECT_THAT(fake_.calls, IsEmpty());
  // A refusal leaves what was there, and nothing beside it.
  const std::string file = folder + "/vera.token";
  std::ofstream(file) << "earlier";
  fake_.refusal = 7;
  EXPECT_EQ(create(file), 4);
  EXPECT_EQ(ReadFile(file).value(), "earlier");
  fake_.refusal = 0;
  EXPECT_EQ(create(file), 0) << err();
  EXPECT_THAT(fake_.hashes,
              ElementsAre(TokenSha256(absl::StripAsciiWhitespace(ReadFile(file).value()))));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

TEST_F(TokenCommandsTest, JsonCarriesTheTokenOfACreationOnly) {
  EXPECT_EQ(Run({"token", "create", "vera", "-o", "json"}), 0);
  const nlohmann::json made = nlohmann::json::parse(out());
  EXPECT_TRUE(IsTokenForm(made["token"].get<std::string>()));
  EXPECT_EQ(made["caller"], "vera");
  EXPECT_EQ(made["role"], "viewer");
  EXPECT_EQ(Run({"token", "list", "-o", "json"}), 0);
  EXPECT_FALSE(nlohmann::json::parse(out())["tokens"][0].contains("token"));
}

TEST_F(TokenCommandsTest, TokensAreRevokedByNumber) {
  Run({"token", "create", "a"});
  Run({"token", "create", "b"});
  EXPECT_EQ(Run({"token", "revoke", "1", "tokens/2"}), 0);
  EXPECT_THAT(err(), HasSubstr("tokens/2 of b lets nobody in any more"));
  EXPECT_EQ(fake_.tokens[0].revoke_time_ms(), 5);
  EXPECT_EQ(Run({"token", "revoke", "9"}), 3);
}

TEST_F(TokenCommandsTest, CallsCarryTheTokenOfTheSettings) {
  EXPECT_EQ(Run({"sweep", "list"}), 0);
  EXPECT_EQ(fake_.authorization, "");
  const std::string token = MakeToken();
  io_.env["LOGLOG_TOKEN"] = token;
  EXPECT_EQ(Run({"sweep", "list"}), 0);
  EXPECT_EQ(fake_.authorization, "Bearer " + token);
  const std::string other = MakeToken();
  const std::string file = WriteFile("other.token", other + "\n");
  EXPECT_EQ(Run({"sweep", "list", "--token-file", file}), 0);
  EXPECT_EQ(fake_.authorization, "Bearer " + other) << "what is nearer counts";
  EXPECT_EQ(Run({"sweep", "list", "--token-file", "/nonexistent"}), 2);
  EXPECT_THAT(err(), HasSubstr("--token-file: /nonexistent cannot be read"));
  EXPECT_EQ(Run({"sweep", "list", "--token-file", WriteFile("bad.token", "two words\n")}), 2);
  io_.env["LOGLOG_TOKEN"] = "llg_\n";
  EXPECT_EQ(Run({"sweep", "list"}), 2);
  EXPECT_THAT(err(), HasSubstr("LOGLOG_TOKEN holds blanks"));
}

TEST_F(TokenCommandsTest, ATokenIsNotSentInPlainTextUnasked) {
  io_.env["LOGLOG_TOKEN"] = MakeToken();
  for (const char* address : {"203.0.113.7:7070", "127.example.org:7070", "localhost.example:1"}) {
    EXPECT_EQ(Run({"sweep", "list", "--coordinator", address}), 2) << address;
    EXPECT_THAT(err(), HasSubstr("in plain text"));
  }
  EXPECT_THAT(fake_.calls, IsEmpty());
  for (const char* address : {"127.0.0.1:1", "127.9.8.7:1", "localhost:1", "[::1]:1", "unix:/x"}) {
    EXPECT_TRUE(IsLocalAddress(address)) << address;
  }
}

TEST_F(TokenCommandsTest, RefusalsEndWithTheirOwnExitCode) {
  fake_.refusal = 16;  // UNAUTHENTICATED
  EXPECT_EQ(Run({"sweep", "list"}), 4);
  EXPECT_THAT(err(), HasSubstr("hint: export LOGLOG_TOKEN"));
  fake_.refusal = 7;  // PERMISSION_DENIED
  EXPECT_EQ(Run({"sweep", "list"}), 4);
}

}  // namespace
}  // namespace loglog::cli
