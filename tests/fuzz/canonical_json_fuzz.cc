// Overrides of a good spec, one a line, and any JSON as a spec: after a line "{" the rest of
// the input is the spec that they change.
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "plan/spec.h"
#include "tests/fuzz/spec_check.h"

namespace {

constexpr char kGoodSpec[] = R"(
apiVersion: loglog/v1
name: fuzz
model: {layers: 2, d_model: 64, heads: 4, kv_heads: 4, d_ff: 176, vocab: 256, seq_len: 64}
data: {train: {format: synthetic}, val: {format: synthetic}, synthetic: {contexts: 64}}
train: {lr: 3.0e-3, batch_tokens: 512}
axes:
  D: {path: train.tokens, values: [24576, 49152, 98304]}
  seed: {path: seed, values: [0, 1]}
arms:
  small: {init.gamma: 1.0, train.weight_decay: 1.0}
  large: {init.gamma: 0.5, train.weight_decay: 0.1}
fit: [{form: "E + B*D^-beta", by: arm}, {compare: [small, large]}]
)";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::string_view rest(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> overrides;
  while (!rest.empty() && rest[0] != '{') {
    const size_t end = std::min(rest.find('\n'), rest.size());
    overrides.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (rest.empty()) {
    loglog::CheckSpecText(kGoodSpec, overrides);
    return 0;
  }
  loglog::CheckSpecText(rest, overrides);
  // The same value spelled in another way is the same spec.
  const auto json = nlohmann::json::parse(rest.begin(), rest.end(), nullptr, false);
  if (json.is_object()) loglog::CheckSpecText(json.dump(), overrides);
  return 0;
}
