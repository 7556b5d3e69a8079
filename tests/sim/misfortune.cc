// What goes wrong with trainers.
#include <iterator>

#include "absl/strings/str_cat.h"
#include "tests/sim/simulation.h"

namespace loglog::sim {

Misfortune Simulation::MakeMisfortune(int worker) {
  Misfortune bad;
  if (!faulty()) return bad;
  const auto broken = broken_until_ms_.find(worker);
  if (broken != broken_until_ms_.end() && world_.now_ms() < broken->second) {
    Count("trainer: on a broken host");
    bad.at_step = world_.Between(0, 2);
    bad.exit_code = world_.Chance(0.5) ? 1 : 40;
    return bad;
  }
  if (world_.Chance(0.75)) return bad;
  bad.at_step = world_.Between(0, 25);
  // With codes of the contract and others, whether it has a reason for them or not.
  static constexpr int kCodes[] = {0, 1, 2, 10, 20, 30, 40, 41, 143, 255};
  static constexpr int kSignals[] = {6, 9, 11, 15};
  const int64_t kind = world_.Between(0, 9);
  if (kind < 5) {
    bad.exit_code = kCodes[world_.Between(0, std::size(kCodes) - 1)];
    Count(absl::StrCat("trainer: exits with ", bad.exit_code));
  } else if (kind < 7) {
    bad.signal = kSignals[world_.Between(0, std::size(kSignals) - 1)];
    Count("trainer: dies by a signal");
  } else if (kind == 7) {
    bad.hangs = true;
    bad.ignores_sigterm = world_.Chance(0.5);
    Count("trainer: hangs");
  } else if (kind == 8) {
    bad.fills_disk = true;
    Count("trainer: fills the disk");
  } else {
    bad.at_step = -1;
    bad.ignores_sigterm = true;
    Count("trainer: ignores SIGTERM");
  }
  return bad;
}

}  // namespace loglog::sim
