#include "fit/differences.h"

#include <numeric>
#include <vector>

#include "fit/means.h"

namespace loglog {

Differences::Differences(const Pairs& of) {
  const auto difference = [](const Pair& p) { return p.y1 - p.y2; };
  cells = MeansOfCells(of, difference);
  const std::vector<double> pairs = cells.weight;
  cells.weight = WeightsOfMeans(pairs);
  if (cells.weight == pairs) pure = PureErrorOf(of, difference);
  line = FitLine(cells);
  weight = std::accumulate(cells.weight.begin(), cells.weight.end(), 0.0);
  for (int i = 0; i < cells.size(); ++i) {
    middle += cells.weight[i] / weight * cells.y[i];
    middle_x += cells.weight[i] / weight * cells.u[i];
  }
}

}  // namespace loglog
