#ifndef LOGLOG_CLI_STORE_TESTING_H_
#define LOGLOG_CLI_STORE_TESTING_H_

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "cli/commands_testing.h"
#include "gtest/gtest.h"
#include "store/store.h"

namespace loglog::cli {

// Command lines on a store's file that holds a sweep "one" of one trial, of the arm "all".
class StoreFileTest : public CommandsTest {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/store-file-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = folder_ + "/store.db";
    auto store = Store::Open(path_);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->Begin().ok());
    NewSweep sweep;
    sweep.name = "one";
    sweep.spec_json = R"({"axes": {}, "arms": [], "fit": []})";
    sweep.spec_sha256 = sweep_sha_;
    sweep.cells.push_back({sweep_sha_, "{}", "all", "{}", 1, 1, 1000, 10, 1.0});
    sweep.trials.push_back({0, 0, sweep_sha_});
    sweep.tasks.push_back({{0}, 0, 1000, -1});
    ASSERT_TRUE((*store)->CreateSweep(sweep).ok());
    Fill(store->get());
    ASSERT_TRUE((*store)->Commit().ok());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  // What else the store is to hold, in the same transaction.
  virtual void Fill(Store* store) { (void)store; }

  const std::string sweep_sha_ = std::string(64, 'a');
  std::string folder_;
  std::string path_;
};

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_STORE_TESTING_H_
