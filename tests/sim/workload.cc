// What is submitted in a run.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/sim/simulation.h"

namespace loglog::sim {
namespace {

std::string Spec(const std::string& name, const std::vector<int>& tokens, int seeds, int rows,
                 int checkpoints, int losses, const std::string& schedule) {
  std::vector<int> all;
  for (int i = 0; i < seeds; ++i) all.push_back(i);
  return absl::StrCat(
      "apiVersion: loglog/v1\nname: ", name,
      "\nmodel: {layers: 1, d_model: 16, heads: 2, kv_heads: 2, d_ff: 32, vocab: 64, seq_len: 16}"
      "\ndata: {train: {format: synthetic}, val: {format: synthetic}, synthetic: {contexts: 32, "
      "branching: 4}}\ntrain: {batch_tokens: 64}\nmetrics: {every: ",
      rows, "}\ncheckpoint: {every: ", checkpoints, "}\nretries: {losses: ", losses,
      "}\naxes:\n  D: {path: train.tokens, values: [", absl::StrJoin(tokens, ", "),
      "]}\n  seed: {path: seed, values: [", absl::StrJoin(all, ", "),
      "]}\narms:\n  a: {train.lr: 1.0e-3}\n  b: {train.lr: 2.0e-3}\n", schedule);
}

}  // namespace

// Each part of a schedule now and then. The first worker can always serve it.
std::string Simulation::Schedule() {
  std::vector<std::string> parts;
  if (workload_.Chance(0.5)) parts.push_back(absl::StrCat("priority: ", workload_.Between(-2, 2)));
  if (workload_.Chance(0.3)) {
    parts.push_back(absl::StrCat("max_concurrent: ", workload_.Between(1, 3)));
  }
  if (workload_.Chance(0.3)) parts.push_back("selector: {zone: a}");
  if (workload_.Chance(0.4)) parts.push_back("slots: 2");
  if (workload_.Chance(0.3)) parts.push_back(absl::StrCat("share: ", workload_.Between(1, 3)));
  if (parts.empty()) return "";
  return absl::StrCat("schedule: {", absl::StrJoin(parts, ", "), "}\n");
}

void Simulation::MakeWorkload() {
  const int sweeps = static_cast<int>(workload_.Between(1, 3));
  for (int i = 0; i < sweeps; ++i) {
    std::vector<int> tokens;
    const int64_t budgets = workload_.Between(1, 3);
    for (int64_t b = 0; b < budgets; ++b) {
      tokens.push_back(static_cast<int>(64 * workload_.Between(5, 15) * (b + 1)));
    }
    std::sort(tokens.begin(), tokens.end());
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    specs_.push_back(Spec(absl::StrCat("s", i), tokens, static_cast<int>(workload_.Between(1, 3)),
                          static_cast<int>(workload_.Between(1, 5)),
                          static_cast<int>(workload_.Between(3, 12)),
                          // One of them gives up soon.
                          i == 1 ? 3 : 20, Schedule()));
  }
  // The first again, with one more budget and one more seed: most of it is there already.
  if (workload_.Chance(0.5)) specs_.push_back(Spec("s0", {640, 1280}, 2, 2, 5, 20, Schedule()));
}

}  // namespace loglog::sim
