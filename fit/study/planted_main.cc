// Random planted problems over all forms; prints the table of docs/results.
//   fit_planted [PROBLEMS] [SEED] [THREADS]      10000, 1, 1 unless given
#include <cstdio>
#include <cstdlib>

#include "fit/study/planted.h"

int main(int argc, char** argv) {
  const auto number = [&](int at, long fallback) {
    return argc > at ? std::strtol(argv[at], nullptr, 10) : fallback;
  };
  const int problems = static_cast<int>(number(1, 10000));
  const auto seed = static_cast<uint64_t>(number(2, 1));
  const int threads = static_cast<int>(number(3, 1));
  if (problems < 1 || threads < 1) {
    std::fprintf(stderr, "usage: fit_planted [PROBLEMS] [SEED] [THREADS]\n");
    return 2;
  }
  const auto summaries = loglog::RunPlantedProblems(seed, 0, problems, threads);
  int failed = 0;
  for (const loglog::PlantedSummary& summary : summaries) failed += summary.not_converged;
  std::printf("%s\n%d of %d did not converge (%.3f%%); seed %llu\n",
              loglog::PlantedTable(summaries).c_str(), failed, problems, 100.0 * failed / problems,
              static_cast<unsigned long long>(seed));
  return 0;
}
