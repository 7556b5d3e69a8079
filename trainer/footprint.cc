#include "trainer/footprint.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "trainer/flops.h"
#include "trainer/kernels.h"

namespace loglog {
namespace {

constexpr double kBytesPerParam = 16 + 12;

std::string Gigabytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GB", bytes / 1e9);
  return text;
}

double WorkspacesOf(const MemberConfig& member) {
  const int64_t seq_len = member.model.seq_len;
  const int64_t chunk =
      ChunkSequences(member.SequencesPerStep(), seq_len, CpuChunkTokens(member.model.d_model));
  const double panels = chunk < member.SequencesPerStep() ? PanelBytes(member.model) : 0;
  // One workspace to train with, and what an evaluation or a probe adds for a while.
  return 2 * WorkspaceBytes(member.model, chunk) + panels;
}

std::optional<double> ReadLimit(const std::string& path) {
  std::ifstream file(path);
  double bytes = 0;
  if (file >> bytes) return bytes;  // the word is "max" without a limit
  return std::nullopt;
}

}  // namespace

int64_t ChunkSequences(int64_t sequences, int64_t seq_len, int64_t wanted_tokens) {
  int64_t chunk = std::clamp<int64_t>(wanted_tokens / seq_len, 1, sequences);
  while (sequences % chunk != 0) --chunk;
  return chunk;
}

double WorkspaceBytes(const ModelConfig& model, int64_t sequences) {
  const double d = static_cast<double>(model.d_model), kv = static_cast<double>(model.KvDim());
  const double ff = static_cast<double>(model.d_ff), vocab = static_cast<double>(model.vocab);
  const double q = static_cast<double>(model.QDim());
  const double mlp = MlpMatrices(model.mlp) * ff;  // up (and gate), and the activation
  const double gate = model.gated_attention ? 2 * q : 0;
  const double head_norms = model.qk_norm ? q + 2 * kv : 0;
  const bool post = model.norm_place == NormPlace::kPost;
  const double norms = (model.sandwich_norm             ? 6
                        : post                          ? 2
                        : model.norm == NormKind::kNone ? 0
                                                        : 2) *
                       d;
  const double tokens = static_cast<double>(sequences * model.seq_len);
  const double per_layer = tokens * (2 * d + norms + 2 * q + 2 * kv + mlp + gate + head_norms);
  const double shared = tokens * (4 * d + 4 * q + 4 * kv + mlp + gate + head_norms + vocab);
  const double scores = tokens * static_cast<double>(model.heads * model.seq_len);
  const double one_head = scores / static_cast<double>(sequences * model.kv_heads);
  const double layers = static_cast<double>(model.layers);
  const double kept = 4 * scores * layers;
  const double blocks =
      std::min(4 * scores, std::max<double>(kCpuAttentionBlockBytes, 4 * one_head));
  return 4 * (per_layer * layers + shared) + (kept <= kCpuKeptProbabilityBytes ? kept : blocks) +
         blocks;
}

double PanelBytes(const ModelConfig& model) {
  const int64_t d = model.d_model, q = model.QDim(), ff = model.d_ff;
  const auto both_ways = [](int64_t out, int64_t in) {
    return static_cast<double>(PanelFloats(in, out) + PanelFloats(out, in));
  };
  double layer = both_ways(q + 2 * model.KvDim(), d) + both_ways(d, q);
  if (model.gated_attention) layer += both_ways(q, d);
  if (model.mlp != MlpKind::kNone) {
    layer += both_ways(model.mlp == MlpKind::kSwiGlu ? 2 * ff : ff, d) + both_ways(d, ff);
  }
  return 4 * (static_cast<double>(model.layers) * layer + both_ways(model.vocab, d));
}

double TaskBytes(const std::vector<MemberConfig>& members) {
  const double params = static_cast<double>(CountParams(members[0].model).total);
  return kBytesPerParam * params * static_cast<double>(members.size()) + WorkspacesOf(members[0]);
}

std::optional<double> CgroupMemoryMax(const std::string& membership, const std::string& mount) {
  std::istringstream lines(membership);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("0::/", 0) != 0) continue;
    std::string group = line.substr(3);
    std::optional<double> least;
    while (true) {
      const std::optional<double> limit = ReadLimit(mount + group + "/memory.max");
      if (limit) least = std::min(*limit, least.value_or(*limit));
      if (group.size() <= 1) return least;
      group.resize(std::max<size_t>(1, group.rfind('/')));
    }
  }
  return std::nullopt;
}

double UsableMemory() {
  const double memory =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  std::ostringstream membership;
  membership << std::ifstream("/proc/self/cgroup").rdbuf();
  return std::min(memory, CgroupMemoryMax(membership.str(), "/sys/fs/cgroup").value_or(memory));
}

void CheckMemory(const std::vector<MemberConfig>& members, double memory) {
  const double needed = TaskBytes(members);
  if (needed <= memory) return;
  const double per_member =
      kBytesPerParam * static_cast<double>(CountParams(members[0].model).total);
  const double for_members = memory - WorkspacesOf(members[0]);
  char fits[80];
  if (per_member <= for_members) {
    std::snprintf(fits, sizeof fits, "%.0f members", for_members / per_member - 0.5);
  } else {
    std::snprintf(fits, sizeof fits, "a model of at most %.3g parameters", memory / kBytesPerParam);
  }
  throw OutOfMemoryError("the weights, gradients, Adam moments and checkpoint copies of " +
                         std::to_string(members.size()) + " members of " +
                         std::to_string(CountParams(members[0].model).total) +
                         " parameters and the activations take " + Gigabytes(needed) +
                         " and this process may use " + Gigabytes(memory) +
                         "; what would fit: " + fits);
}

}  // namespace loglog
