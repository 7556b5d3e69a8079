// A small task for tests, to be changed where a test wants it otherwise.
#ifndef LOGLOG_TRAINER_TASK_TESTING_H_
#define LOGLOG_TRAINER_TASK_TESTING_H_

#include <nlohmann/json.hpp>

namespace loglog {

// One member, 60 steps of 512 tokens of the synthetic source, a checkpoint every 10.
inline nlohmann::json SmallTask() {
  using nlohmann::json;
  json config;
  config["model"] = {{"layers", 1}, {"d_model", 32}, {"heads", 2},   {"kv_heads", 1},
                     {"d_ff", 64},  {"vocab", 80},   {"seq_len", 32}};
  config["train"] = {{"tokens", 60 * 512}, {"batch_tokens", 512}, {"lr", 0.003}};
  config["data"] = {{"train", {{"format", "synthetic"}}},
                    {"val", {{"format", "synthetic"}}},
                    {"synthetic", {{"contexts", 64}}}};
  config["eval"] = {{"every", 0.25}, {"tokens", 512}};
  config["metrics"] = {{"every", 1}, {"probe_every", 20}};
  json member = {{"trial", "t"}, {"seed", 0}, {"config", config}};
  return {{"format", 1},
          {"members", json::array({member})},
          {"checkpoint", {{"every", 10}, {"keep", 2}}}};
}

}  // namespace loglog

#endif  // LOGLOG_TRAINER_TASK_TESTING_H_
