// See gloo/algorithm.h.
#ifndef LOGLOG_TRAINER_GLOO_DECLARATIONS_GLOO_CONTEXT_H_
#define LOGLOG_TRAINER_GLOO_DECLARATIONS_GLOO_CONTEXT_H_

#include <chrono>

namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};
}  // namespace gloo

#endif  // LOGLOG_TRAINER_GLOO_DECLARATIONS_GLOO_CONTEXT_H_
