#ifndef LOGLOG_PLAN_SPEC_TESTING_H_
#define LOGLOG_PLAN_SPEC_TESTING_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "plan/plan.h"

namespace loglog {

// A good spec, line by line, so that a test can change one line and know the place.
inline std::vector<std::string> GoodSpecLines() {
  return {
      "apiVersion: loglog/v1",
      "name: phase-50m",
      "model: {preset: llama-50m, seq_len: 1024}",
      "data: {train: {format: llmc, glob: data/train_*.bin}, val: {format: llmc, glob: "
      "data/val_*.bin}}",
      "train:",
      "  optimizer: adamw",
      "  lr: 1.0e-3",
      "  schedule: cosine",
      "  warmup: 5%",
      "  batch_tokens: 131072",
      "axes:",
      "  gamma: {path: init.gamma, range: [0.40, 0.80, 0.05]}",
      "  lambda: {path: train.weight_decay, values: [0, 0.01, 0.1, 1.0]}",
      "  D: {path: train.tokens, values: [131072000, 1310720000]}",
      "  seed: {path: seed, values: [0, 1, 2]}",
      "arms: [gamma, lambda]",
      "order: [seed, D]",
      "budget: {gpu_hours: 60}",
      "fit: [{form: \"E + B*D^-beta\", by: arm}]",
  };
}

// The good spec with some lines (from 1) replaced.
inline std::string SpecText(const std::map<int, std::string>& lines = {}) {
  std::vector<std::string> text = GoodSpecLines();
  for (const auto& [number, line] : lines) text[number - 1] = line;
  return absl::StrJoin(text, "\n") + "\n";
}

// A small spec on the synthetic source, with `more` (whole sections) appended.
inline std::string SmallSpec(const std::string& more) {
  return "apiVersion: loglog/v1\n"
         "name: small\n"
         "model: {layers: 2, d_model: 64, heads: 4, kv_heads: 4, d_ff: 176, vocab: 256, seq_len: "
         "64}\n"
         "data: {train: {format: synthetic}, val: {format: synthetic}, synthetic: {contexts: "
         "64}}\n" +
         more;
}

inline SweepSpec MustParse(const std::string& text,
                           const std::vector<std::string>& overrides = {}) {
  auto spec = ParseSpec(text, "test.yaml", overrides);
  EXPECT_TRUE(spec.ok()) << spec.status().message() << "\n" << text;
  return spec.ok() ? *std::move(spec) : SweepSpec();
}

inline Expansion MustExpand(const SweepSpec& spec) {
  auto expansion = Expand(spec);
  EXPECT_TRUE(expansion.ok()) << expansion.status().message();
  return expansion.ok() ? *std::move(expansion) : Expansion();
}

}  // namespace loglog

#endif  // LOGLOG_PLAN_SPEC_TESTING_H_
