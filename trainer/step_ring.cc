#include "trainer/step_ring.h"

#include <stdexcept>

namespace loglog {

size_t StepRing::Begin() const {
  if (full()) throw std::logic_error("every slot of the ring of steps is under way");
  return ended_ % slots_;
}

void StepRing::End() {
  clock_.Mark(Begin());
  ++ended_;
}

std::optional<size_t> StepRing::Take(bool wait) {
  if (empty()) return std::nullopt;
  const size_t slot = taken_ % slots_;
  if (!clock_.Reached(slot)) {
    if (!wait) return std::nullopt;
    clock_.Wait(slot);
  }
  ++taken_;
  return slot;
}

}  // namespace loglog
