// How much memory a task takes on a CPU, and how much this process may take.
#ifndef LOGLOG_TRAINER_FOOTPRINT_H_
#define LOGLOG_TRAINER_FOOTPRINT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/config.h"

namespace loglog {

// What the engine uses on a CPU unless told otherwise. Small parts keep activations near the
// second-level cache; each part reads all weights and adds to all gradients, which is more in wide
// models.
constexpr int64_t CpuChunkTokens(int64_t d_model) { return d_model <= 128 ? 128 : 512; }
constexpr int64_t kCpuKeptProbabilityBytes = int64_t{64} << 20;
constexpr int64_t kCpuAttentionBlockBytes = int64_t{1} << 20;

// The largest divisor of `sequences` that stays within the wanted number of tokens.
int64_t ChunkSequences(int64_t sequences, int64_t seq_len, int64_t wanted_tokens);

// About the bytes of activations and temporaries of one pass of a member's `sequences`
// sequences in float32.
double WorkspaceBytes(const ModelConfig& model, int64_t sequences);

// Of the weights as products read them, forward and backward, which are kept while several parts of
// a member's batch go through the model.
double PanelBytes(const ModelConfig& model);

// Of a task with these members: weights, gradients, two moments and the copy of weights and
// moments that a checkpoint is written from, 28 bytes a parameter, and the workspaces and panels.
double TaskBytes(const std::vector<MemberConfig>& members);

// The smallest memory.max from a process's cgroup (version 2) upwards, nothing without a
// limit. `membership` is the text of /proc/<pid>/cgroup, `mount` where the hierarchy is.
std::optional<double> CgroupMemoryMax(const std::string& membership, const std::string& mount);

// The machine's memory, or what this process's cgroup leaves of it.
double UsableMemory();

// Throws OutOfMemoryError, saying what would fit, when the task takes more than `memory`.
void CheckMemory(const std::vector<MemberConfig>& members, double memory);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_FOOTPRINT_H_
