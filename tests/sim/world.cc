#include "tests/sim/world.h"

#include <cstdio>

namespace loglog::sim {

bool World::Step(int64_t until_ms) {
  if (queue_.empty() || queue_.begin()->first.first > until_ms) {
    now_ms_ = std::max(now_ms_, until_ms);
    return false;
  }
  auto next = queue_.extract(queue_.begin());
  now_ms_ = std::max(now_ms_, next.key().first);
  next.mapped()();
  return true;
}

void World::Note(const std::string& what) {
  if (verbose_)
    std::fprintf(stderr, "%9.3f  %s\n", static_cast<double>(now_ms_) / 1000, what.c_str());
}

}  // namespace loglog::sim
