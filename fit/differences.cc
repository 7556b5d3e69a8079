#include "fit/differences.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace loglog {

Differences::Differences(const Pairs& of) {
  const auto difference = [](const Pair& p) { return p.y1 - p.y2; };
  cells = WeightedCells(of, difference);
  const bool alike = std::adjacent_find(cells.weight.begin(), cells.weight.end(),
                                        std::not_equal_to<>()) == cells.weight.end();
  if (alike) pure = PureErrorOf(of, difference);
  line = FitLine(cells);
  weight = std::accumulate(cells.weight.begin(), cells.weight.end(), 0.0);
  for (int i = 0; i < cells.size(); ++i) {
    middle += cells.weight[i] / weight * cells.y[i];
    middle_x += cells.weight[i] / weight * cells.u[i];
  }
}

}  // namespace loglog
