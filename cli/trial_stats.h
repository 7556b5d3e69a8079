#ifndef LOGLOG_CLI_TRIAL_STATS_H_
#define LOGLOG_CLI_TRIAL_STATS_H_

#include <map>
#include <string>
#include <vector>

#include "fit/arms.h"
#include "fit/observation.h"
#include "loglog/v1/common.pb.h"

namespace loglog::cli {

// Trials as their user sees them: arms, the axes that make them, and the scale at
// which they were trained. Pure functions over API objects.

// An axis value for sorting and extending; NaN when it is not a number.
double AxisNumber(const std::string& value);
// Distinct values, numbers by size first, then words.
std::vector<std::string> SortedValues(std::vector<std::string> values);

// Axes that tell the arms apart: constant within each arm, different between arms.
std::vector<std::string> ArmAxes(const std::vector<v1::Trial>& trials);
// Labels of arms, in order of their first trial.
std::vector<std::string> Arms(const std::vector<v1::Trial>& trials);

// The quantity that a scaling axis ("D", "N" or "C") measures of a trial.
double ScaleOf(const v1::Trial& trial, const std::string& axis);
// "D" unless only N varies.
std::string MainScale(const std::vector<v1::Trial>& trials);

// The trials of an arm that are done with a finite loss.
std::vector<Observation> DoneTrials(const std::vector<v1::Trial>& trials, const std::string& arm);

// Whether sizes and tokens vary enough for the joint form, which is then the one to fit.
bool CarriesJointForm(const std::vector<Observation>& trials);

// The law whose parameters these arms may share: the one that `form` names; without it the joint
// form where the sizes and tokens of all of them carry it, else the one with a floor.
Law SharedLaw(const std::string& form, const std::vector<ArmTrials>& arms);

struct Moments {
  int n = 0;
  double mean = 0;  // NaN when n = 0
  double sd = 0;    // over seeds; NaN when n < 2
};
Moments MomentsOf(const std::vector<double>& values);

// Everything known about one arm at one scale, over seeds.
struct Group {
  int total = 0;
  int pending = 0;
  int running = 0;
  int done = 0;
  int diverged = 0;
  int failed = 0;
  int cancelled = 0;
  int stopped = 0;
  double progress = 0;               // of the running ones, mean share of steps
  std::map<int64_t, double> losses;  // final loss of done trials by seed
  Moments moments() const;
};
// Size (N or the like is part of the key): trials that only differ in seed.
struct ScaleKey {
  int64_t tokens = 0;
  int64_t params = 0;
  auto operator<=>(const ScaleKey&) const = default;
};
ScaleKey ScaleKeyOf(const v1::Trial& trial);
using Groups = std::map<std::string, std::map<ScaleKey, Group>>;  // by arm
Groups GroupTrials(const std::vector<v1::Trial>& trials);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_TRIAL_STATS_H_
