#include "trainer/generators.h"

namespace loglog {

std::unique_ptr<Generator> MakeGenerator(const DataConfig& data, const ModelConfig& model) {
  switch (data.train.format) {
    case DataFormat::kWindows:
      return MakeWindowsGenerator(data.windows, model);
    case DataFormat::kAnchor:
      return MakeAnchorGenerator(data.anchor, model);
    case DataFormat::kMarkov:
      return MakeMarkovGenerator(data.markov, model);
    default:
      return nullptr;
  }
}

}  // namespace loglog
