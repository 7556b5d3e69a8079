// Weights of a Hugging Face Llama to start a trial from.
#ifndef LOGLOG_TRAINER_IMPORT_HF_H_
#define LOGLOG_TRAINER_IMPORT_HF_H_

#include <string>
#include <vector>

#include "trainer/config.h"

namespace loglog {

// The weights of `imported.path` (model.safetensors; a relative path begins at `data_root`) as a
// row of MakeLayout(model); float32, bfloat16 and float16 are read. A config.json beside it must
// describe this model. Throws DataUnavailable when this host lacks the file, and ConfigError,
// naming file, tensor or field and the fix, when it is another file than `imported.sha256` says,
// is damaged, or holds another model.
std::vector<float> ImportLlama(const ImportedWeights& imported, const ModelConfig& model,
                               const std::string& data_root);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_IMPORT_HF_H_
