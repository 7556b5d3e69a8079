// Trained weights for Hugging Face's transformers.
#ifndef LOGLOG_TRAINER_EXPORT_HF_H_
#define LOGLOG_TRAINER_EXPORT_HF_H_

#include <cstdint>
#include <string>

#include "trainer/config.h"

namespace loglog {

// Throws ConfigError, naming every option in the way, when LlamaForCausalLM cannot compute what
// this model does.
void CheckLlama(const ModelConfig& model);

// config.json of a LlamaForCausalLM.
std::string LlamaConfigJson(const ModelConfig& model);

struct ExportResult {
  int64_t step = 0;
  int64_t parameters = 0;
};

// Writes config.json and model.safetensors (float32) of one member of a checkpoint into the
// folder `out`, which is made. Throws DamagedCheckpoint, ConfigError or FileError.
ExportResult ExportHuggingFace(const std::string& checkpoint, int64_t member,
                               const std::string& out);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_EXPORT_HF_H_
