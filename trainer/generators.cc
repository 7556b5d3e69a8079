#include "trainer/generators.h"

namespace loglog {

std::unique_ptr<Generator> MakeGenerator(const DataConfig& data, const ModelConfig& model,
                                         const std::string& data_root) {
  switch (data.train.format) {
    case DataFormat::kWindows:
      return MakeWindowsGenerator(data.windows, model);
    case DataFormat::kAnchor:
      return MakeAnchorGenerator(data.anchor, model);
    case DataFormat::kMarkov:
      return MakeMarkovGenerator(data.markov, model);
    case DataFormat::kAddition:
      return MakeAdditionGenerator(data.addition, model);
    case DataFormat::kScan:
    case DataFormat::kCogs:
    case DataFormat::kProntoqa:
      return MakePairsGenerator(data, model, data_root);
    default:
      return nullptr;
  }
}

}  // namespace loglog
