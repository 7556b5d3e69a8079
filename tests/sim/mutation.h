#ifndef LOGLOG_TESTS_SIM_MUTATION_H_
#define LOGLOG_TESTS_SIM_MUTATION_H_

#include <string>

namespace loglog::sim {

// The rule that is broken in this process; empty: none is. Only programs that are built
// from mutated sources ask.
inline std::string& BrokenRule() {
  static std::string rule;
  return rule;
}
inline bool Broken(const char* rule) { return BrokenRule() == rule; }

}  // namespace loglog::sim

#endif  // LOGLOG_TESTS_SIM_MUTATION_H_
