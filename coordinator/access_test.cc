// Roles, workers' identities and the book of tokens, without a wire.
#include "coordinator/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/token_book.h"
#include "store/token.h"

namespace loglog {
namespace {

using ::testing::HasSubstr;

TEST(AccessRulesTest, RolesAreALadderWithTheWorkerBesideIt) {
  constexpr Role kV = Role::kViewer, kS = Role::kSubmitter, kW = Role::kWorker, kA = Role::kAdmin;
  for (const Role least : {kV, kS, kW, kA}) EXPECT_TRUE(Allows(kA, least));
  EXPECT_TRUE(Allows(kV, kV));
  EXPECT_TRUE(Allows(kS, kV));
  EXPECT_TRUE(Allows(kS, kS));
  EXPECT_TRUE(Allows(kW, kW));
  for (const Role least : {kS, kW, kA}) EXPECT_FALSE(Allows(kV, least));
  for (const Role least : {kW, kA}) EXPECT_FALSE(Allows(kS, least));
  for (const Role least : {kV, kS, kA}) EXPECT_FALSE(Allows(kW, least));
  EXPECT_FALSE(LeastRole("SweepService.NoSuchRpc").has_value());
  EXPECT_TRUE(absl::IsPermissionDenied(CheckAccess({.role = kA}, "SweepService.NoSuchRpc")));
}

TEST(AccessRulesTest, AWorkerIsWhatItsTokenAndItsCertificateBothSay) {
  const auto allowed = [](const std::string& token, const std::string& certificate,
                          const std::string& id) {
    return CheckWorker({.name = "t",
                        .role = token.empty() ? Role::kAdmin : Role::kWorker,
                        .worker = token,
                        .certificate_worker = certificate},
                       id)
        .ok();
  };
  EXPECT_TRUE(allowed("gpu-1", "", "gpu-1"));
  EXPECT_FALSE(allowed("gpu-1", "", "gpu-10"));
  EXPECT_FALSE(allowed("gpu-1", "", "gpu"));
  EXPECT_TRUE(allowed("gpu-*", "", "gpu-10"));
  EXPECT_FALSE(allowed("gpu-*", "", "cpu-1"));
  EXPECT_TRUE(allowed("*", "", "anything"));
  EXPECT_TRUE(allowed("gpu-*", "gpu-2", "gpu-2"));
  EXPECT_FALSE(allowed("gpu-*", "gpu-2", "gpu-1")) << "the certificate says another";
  EXPECT_FALSE(allowed("gpu-1", "gpu-2", "gpu-2")) << "the token says another";
  EXPECT_TRUE(allowed("", "", "gpu-1"));
  EXPECT_FALSE(allowed("", "gpu-2", "gpu-1")) << "the certificate counts for an admin, too";

  for (const char* good : {"gpu-1", "gpu-*", "g*", "*"}) EXPECT_TRUE(CheckWorkerPattern(good).ok());
  for (const char* bad : {"", "**", "a*b", "-*", "GPU", "a/b", "gpu *"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckWorkerPattern(bad))) << bad;
  }
}

TEST(AccessRulesTest, CertificatesNameOneWorkerOrNone) {
  EXPECT_EQ(*WorkerOfCertificate({}), "");
  EXPECT_EQ(*WorkerOfCertificate({"host.example", "alice"}), "");
  EXPECT_EQ(*WorkerOfCertificate({"worker:gpu-1", "host.example", "worker:gpu-1"}), "gpu-1");
  EXPECT_TRUE(absl::IsUnauthenticated(WorkerOfCertificate({"worker:a", "worker:b"}).status()));
  for (const char* bad : {"worker:", "worker:*", "worker:A", "worker:a/b"}) {
    EXPECT_TRUE(absl::IsUnauthenticated(WorkerOfCertificate({bad}).status())) << bad;
  }
}

class TokenBookTest : public ::testing::Test {
 protected:
  std::string Add(int64_t id, int64_t expire_ms = 0, Role role = Role::kViewer) {
    const std::string token = MakeToken();
    TokenRow row;
    row.token_id = id;
    row.name = absl::StrCat("caller-", id);
    row.role = role;
    row.sha256 = TokenSha256(token);
    row.expire_ms = expire_ms;
    rows_.push_back(row);
    book_.Put(row);
    return token;
  }
  absl::StatusOr<TokenRow> Find(const std::string& token, int64_t wall_ms = 1000) {
    return book_.Find(token, wall_ms, &first_use_);
  }
  TokenBook book_;
  std::vector<TokenRow> rows_;
  bool first_use_ = false;
};

TEST_F(TokenBookTest, FindsByTheTextAndNeverRepeatsIt) {
  const std::string token = Add(1);
  EXPECT_EQ(Find(token)->name, "caller-1");
  const std::string strange = MakeToken();
  for (const std::string& text : {strange, std::string("llg_"), std::string("x\0y", 3),
                                  std::string(), token + "\n", std::string(1 << 20, 'a')}) {
    const absl::StatusOr<TokenRow> found = Find(text);
    ASSERT_TRUE(absl::IsUnauthenticated(found.status()));
    EXPECT_EQ(found.status().message().find(strange), absl::string_view::npos);
    EXPECT_LT(found.status().message().size(), 300);
  }
}

TEST_F(TokenBookTest, ExpiresAndIsRevoked) {
  const std::string token = Add(1, /*expire_ms=*/5000);
  EXPECT_TRUE(Find(token, 4999).ok());
  EXPECT_THAT(std::string(Find(token, 5000).status().message()), HasSubstr("has expired"));
  EXPECT_TRUE(absl::IsUnauthenticated(book_.Check(1, 5000)));
  const std::string other = Add(2, 0, Role::kAdmin);
  EXPECT_TRUE(book_.HasLive(Role::kAdmin, 1000));
  rows_[1].revoke_ms = 900;
  book_.Put(rows_[1]);
  EXPECT_THAT(std::string(Find(other).status().message()), HasSubstr("was revoked"));
  EXPECT_TRUE(absl::IsUnauthenticated(book_.Check(2, 1000)));
  EXPECT_TRUE(absl::IsUnauthenticated(book_.Check(3, 1000)));
  EXPECT_FALSE(book_.HasLive(Role::kAdmin, 1000));
}

TEST_F(TokenBookTest, TellsTheFirstUseOfADayOnce) {
  constexpr int64_t kDayMs = 86'400'000;
  const std::string token = Add(1);
  EXPECT_TRUE(Find(token, 3 * kDayMs + 5).ok());
  EXPECT_TRUE(first_use_);
  EXPECT_TRUE(Find(token, 3 * kDayMs + 9).ok());
  EXPECT_FALSE(first_use_);
  EXPECT_TRUE(Find(token, 4 * kDayMs).ok());
  EXPECT_TRUE(first_use_);
  EXPECT_TRUE(Find(token, 2 * kDayMs).ok());
  EXPECT_FALSE(first_use_) << "the clock was set back";
}

TEST_F(TokenBookTest, IsReadWhileItChanges) {
  const std::string token = Add(1);
  std::atomic<bool> stop = false;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        bool first_use = false;
        EXPECT_TRUE(book_.Find(token, 1000, &first_use).ok());
      }
    });
  }
  for (int id = 2; id < 200; ++id) Add(id);
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(book_.size(), 199);
}

}  // namespace
}  // namespace loglog
