#ifndef LOGLOG_FIT_STUDY_PLANTED_H_
#define LOGLOG_FIT_STUDY_PLANTED_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "fit/law_fit.h"

namespace loglog {

// Random planted problems: a law with known parameters, a grid and noise, all drawn from
// one seed; what the fit makes of them.
inline constexpr Law kPlantedLaws[] = {Law::kPower,         Law::kSaturating, Law::kJoint,
                                       Law::kEqualExponent, Law::kKaplan,     Law::kDataConstrained,
                                       Law::kBroken};

struct PlantedProblem {
  Law law = Law::kPower;
  double sd = 0;  // of one trial's ln L
  std::vector<Observation> trials;
  // The true values of the parameters, by name.
  std::vector<std::pair<std::string, double>> truth;
};

// Problem number `index` of a seed; laws take turns. Exponents, floors, shares of the loss
// above the floor, ranges (16 to 256x), numbers of sizes, budgets and seeds, and noise (.05
// to 1%) are drawn from what sweeps have.
PlantedProblem MakePlantedProblem(uint64_t seed, int index);

// Of all problems of one law.
struct PlantedSummary {
  Law law = Law::kPower;
  int problems = 0;
  int not_converged = 0;  // no small gradient at the end, or starts that disagree
  int refused = 0;
  int at_bound = 0;
  int identified = 0;
  // Estimate less truth of the first exponent: median over the problems, and the median of
  // its size, in both cases over all problems and over the identified ones.
  double bias = 0;
  double error = 0;
  double bias_identified = 0;
  double error_identified = 0;
  double coverage = 0;             // of all exponents' intervals
  double coverage_identified = 0;  // of those where the verdict is identified
};

// Problems first .. first + count - 1 of `seed`, on `threads`.
std::vector<PlantedSummary> RunPlantedProblems(uint64_t seed, int first, int count, int threads);

// The table of docs/results, Markdown.
std::string PlantedTable(const std::vector<PlantedSummary>& summaries);

}  // namespace loglog

#endif  // LOGLOG_FIT_STUDY_PLANTED_H_
