#ifndef LOGLOG_CLI_COMMANDS_TESTING_H_
#define LOGLOG_CLI_COMMANDS_TESTING_H_

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/fake_service_testing.h"
#include "cli/fixtures_testing.h"
#include "gtest/gtest.h"

namespace loglog::cli {

// Runs command lines against a coordinator in memory and keeps what they print.
class CommandsTest : public testing::Test {
 protected:
  int Run(const std::vector<std::string>& tokens) {
    out_.str("");
    err_.str("");
    io_.env["LOGLOG_COORDINATOR"] = fake_.address();
    io_.env["LOGLOG_RPC_TIMEOUT"] = "30s";
    io_.env["HOME"] = "/nonexistent";
    return RunLoglog(tokens, io_);
  }
  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  std::string WriteFile(const std::string& name, const std::string& text) {
    const std::string path = testing::TempDir() + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  // Half of the trials wait for a slot.
  void MakeOpen() {
    for (size_t i = 8; i < fake_.data.trials.size(); ++i) {
      fake_.data.trials[i].set_state(v1::Trial::PENDING);
    }
    fake_.data.sweep.set_state(v1::Sweep::ACTIVE);
    Recount(&fake_.data);
  }
  void AsTerminal() {
    io_.out_terminal = io_.err_terminal = true;
    io_.env["TERM"] = "xterm";
    io_.env["LANG"] = "C.UTF-8";
  }

  FakeService fake_;
  std::ostringstream out_, err_;
  std::vector<std::string> executed_;
  Io io_ = {.out = &out_, .err = &err_, .exec = [this](const std::vector<std::string>& argv) {
              executed_ = argv;
              return absl::InternalError("not replaced in a test");
            }};
};

inline constexpr char kSpec[] = R"(apiVersion: loglog/v1
name: tiny
model: {layers: 2, d_model: 64, heads: 4, kv_heads: 4, d_ff: 176, vocab: 256, seq_len: 64}
data: {train: {format: synthetic}, val: {format: synthetic}, synthetic: {contexts: 192, zipf: 1.5, branching: 4}}
train: {lr: 3.0e-3, batch_tokens: 512}
axes:
  D: {path: train.tokens, values: [24576, 65536, 163840, 393216]}
  seed: {path: seed, values: [0, 1]}
arms:
  small: {init.gamma: 1.0, train.weight_decay: 1.0}
  large: {init.gamma: 0.5, train.weight_decay: 0.1}
)";

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_COMMANDS_TESTING_H_
