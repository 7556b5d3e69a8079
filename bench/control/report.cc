#include "bench/control/report.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/control/bench.h"
#include "nlohmann/json.hpp"

namespace loglog::bench {
namespace {

using nlohmann::ordered_json;

double Load() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : -1;
}

std::string Number(double value) {
  const double size = std::abs(value);
  if (size >= 1000) return absl::StrFormat("%.0f", value);
  if (size >= 10) return absl::StrFormat("%.1f", value);
  return absl::StrFormat("%.3g", value);
}

double Low(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::min_element(values.begin(), values.end());
}
double High(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

// "1234 (1100 to 1300)"
std::string WithSpread(const std::vector<double>& values) {
  std::string text = Number(Median(values));
  if (values.size() > 1) {
    absl::StrAppend(&text, " (", Number(Low(values)), " to ", Number(High(values)), ")");
  }
  return text;
}

}  // namespace

Report::Report(bool json) : json_(json) {
  Note(absl::StrFormat("%d cores, load %.2f", static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)),
                       Load()));
}

void Report::Note(const std::string& text) {
  std::FILE* const out = json_ ? stderr : stdout;
  std::fprintf(out, "# %s\n", text.c_str());
  std::fflush(out);
}

void Report::Add(Measure measure) {
  std::string line = absl::StrFormat("%-11s %-44s %s %s", measure.workload, measure.what,
                                     WithSpread(measure.values), measure.unit);
  if (!measure.rival.empty()) {
    const double rival = Median(measure.rival_values);
    absl::StrAppend(&line, "; ", measure.rival, " ", WithSpread(measure.rival_values), ": ratio ",
                    rival == 0 ? "-" : absl::StrFormat("%.3f", Median(measure.values) / rival));
  }
  if (!measure.goal.empty()) absl::StrAppend(&line, "; goal ", measure.goal);
  std::FILE* const out = json_ ? stderr : stdout;
  std::fprintf(out, "%s\n", line.c_str());
  std::fflush(out);
  measures_.push_back(std::move(measure));
}

void Report::Finish() {
  if (!json_) return;
  ordered_json measures = ordered_json::array();
  for (const Measure& measure : measures_) {
    ordered_json one = {{"workload", measure.workload}, {"what", measure.what},
                        {"unit", measure.unit},         {"median", Median(measure.values)},
                        {"low", Low(measure.values)},   {"high", High(measure.values)},
                        {"values", measure.values}};
    if (!measure.rival.empty()) {
      const double rival = Median(measure.rival_values);
      one["rival"] = measure.rival;
      one["rival_median"] = rival;
      one["rival_values"] = measure.rival_values;
      if (rival != 0) one["ratio"] = Median(measure.values) / rival;
    }
    if (!measure.goal.empty()) one["goal"] = measure.goal;
    measures.push_back(std::move(one));
  }
  const ordered_json all = {{"time", static_cast<int64_t>(std::time(nullptr))},
                            {"cores", sysconf(_SC_NPROCESSORS_ONLN)},
                            {"load", Load()},
                            {"measures", std::move(measures)}};
  std::printf("%s\n", all.dump(1).c_str());
}

}  // namespace loglog::bench
