// How values of the configuration's enumerations are spelt in task.json; in the order of each.
#ifndef LOGLOG_TRAINER_TASK_WORDS_H_
#define LOGLOG_TRAINER_TASK_WORDS_H_

#include <cstddef>
#include <string>
#include <vector>

namespace loglog {

inline const std::vector<std::string> kDInWords = {"fan_in", "d_model"};
inline const std::vector<std::string> kDepthWords = {"none", "inv_sqrt_2l"};
inline const std::vector<std::string> kScheduleWords = {"cosine", "wsd", "constant"};
inline const std::vector<std::string> kDecayWords = {"coupled", "independent", "gradient"};
inline const std::vector<std::string> kPrecisionWords = {"fp32", "bf16"};
inline const std::vector<std::string> kNormWords = {"rms", "layer", "none"};
inline const std::vector<std::string> kNormPlaceWords = {"pre", "post"};
inline const std::vector<std::string> kAttnNormWords = {"qkv", "q"};
inline const std::vector<std::string> kMlpWords = {"swiglu", "gelu", "relu", "none"};
inline const std::vector<std::string> kPositionWords = {"rope", "learned", "none"};
inline const std::vector<std::string> kCooldownWords = {"sqrt", "linear"};
inline const std::vector<std::string> kProtocolWords = {"without_34", "noninferential_34", "all"};
inline const std::vector<std::string> kFormatWords = {
    "llmc",     "u16",  "synthetic", "windows",  "anchor", "markov",
    "addition", "scan", "cogs",      "prontoqa", "u32",    "megatron"};

template <typename Enum>
const std::string& WordOf(const std::vector<std::string>& words, Enum value) {
  return words.at(static_cast<size_t>(value));
}

}  // namespace loglog

#endif  // LOGLOG_TRAINER_TASK_WORDS_H_
