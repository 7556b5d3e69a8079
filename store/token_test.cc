// Tokens: their text, and what the store keeps of them.
#include "store/token.h"

#include <set>

#include "shards/sha256.h"
#include "store/store_fixture.h"

namespace loglog {
namespace {

using ::testing::SizeIs;
using ::testing::StartsWith;

TEST(TokenTest, IsRandomAndRecognizable) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string token = MakeToken();
    EXPECT_THAT(token, StartsWith("llg_"));
    EXPECT_THAT(token, SizeIs(4 + 64));
    EXPECT_TRUE(IsTokenForm(token));
    EXPECT_TRUE(seen.insert(token).second);
  }
  const std::string token = MakeToken();
  EXPECT_EQ(TokenSha256(token), Sha256Hex(token));
  for (const std::string& text :
       {std::string(), std::string("llg_"), token.substr(1), token + "0", token + "\n",
        token.substr(0, 67), "LLG_" + token.substr(4), token.substr(0, 67) + "G",
        token.substr(0, 67) + std::string(1, '\0')}) {
    EXPECT_FALSE(IsTokenForm(text)) << text;
  }
}

class TokenStoreTest : public StoreFixture {
 protected:
  TokenRow Make(const std::string& name, Role role, const std::string& worker = "") {
    TokenRow token;
    token.name = name;
    token.role = role;
    token.worker = worker;
    token.sha256 = TokenSha256(MakeToken());
    token.create_ms = 1000;
    token.expire_ms = 5000;
    return token;
  }
  absl::StatusOr<TokenRow> Insert(const TokenRow& token) {
    return store_->InsertToken(token, &created_);
  }
  bool created_ = false;
};

TEST_F(TokenStoreTest, KeepsWhatItIsToldOnceForEachHash) {
  const TokenRow worker = Make("gpu", Role::kWorker, "gpu-*");
  const auto stored = Insert(worker);
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_TRUE(created_);
  TokenRow again = Make("somebody-else", Role::kAdmin);
  again.sha256 = worker.sha256;
  EXPECT_EQ(Insert(again)->token_id, stored->token_id);
  EXPECT_FALSE(created_) << "one hash is one token, whatever else is said";
  const auto read = store_->read().GetToken(stored->token_id);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->name, "gpu");
  EXPECT_EQ(read->role, Role::kWorker);
  EXPECT_EQ(read->worker, "gpu-*");
  EXPECT_EQ(read->sha256, worker.sha256);
  EXPECT_EQ(read->expire_ms, 5000);
  EXPECT_TRUE(absl::IsNotFound(store_->read().GetToken(77).status()));
}

TEST_F(TokenStoreTest, TheSchemaRefusesAWorkerWithoutAnIdAndAnIdWithoutAWorker) {
  EXPECT_TRUE(absl::IsFailedPrecondition(Insert(Make("w", Role::kWorker)).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(Insert(Make("v", Role::kViewer, "gpu-1")).status()));
}

TEST_F(TokenStoreTest, RevokesOnceAndListsInPages) {
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(Insert(Make(name, Role::kViewer)).ok());
  EXPECT_EQ(store_->RevokeToken(2, 3000)->revoke_ms, 3000);
  EXPECT_EQ(store_->RevokeToken(2, 4000)->revoke_ms, 3000);
  EXPECT_TRUE(absl::IsNotFound(store_->RevokeToken(9, 1).status()));
  ASSERT_TRUE(store_->SetTokenUse(3, 86'400'000).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->SetTokenUse(9, 1)));
  const auto page = store_->read().ListTokens(1, 1);
  ASSERT_THAT(*page, SizeIs(1));
  EXPECT_EQ(page->at(0).name, "b");
  EXPECT_EQ(store_->read().ListTokens(2, 10)->at(0).last_use_ms, 86'400'000);
}

}  // namespace
}  // namespace loglog
