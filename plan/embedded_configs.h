#ifndef LOGLOG_PLAN_EMBEDDED_CONFIGS_H_
#define LOGLOG_PLAN_EMBEDDED_CONFIGS_H_

#include <string>
#include <vector>

namespace loglog {

// A file of configs/ that was compiled in: its name without ".yaml", and its text.
struct EmbeddedConfig {
  std::string name;
  std::string text;
};

const std::vector<EmbeddedConfig>& EmbeddedShapes();
// The example sweeps: "quickstart", "text-bytes", ...
const std::vector<EmbeddedConfig>& EmbeddedExamples();

}  // namespace loglog

#endif  // LOGLOG_PLAN_EMBEDDED_CONFIGS_H_
