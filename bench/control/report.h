#ifndef LOGLOG_BENCH_CONTROL_REPORT_H_
#define LOGLOG_BENCH_CONTROL_REPORT_H_

#include <string>
#include <vector>

namespace loglog::bench {

// One thing that was measured, once in each round, perhaps beside something it is
// compared with in the same rounds.
struct Measure {
  std::string workload;
  std::string what;
  std::string unit;
  std::vector<double> values;  // by round
  std::string rival;           // what the other values are of; empty: nothing
  std::vector<double> rival_values;
  std::string goal;  // "" when it is only reported
};

// Prints each measure as it comes, as a line for people, or all of them at the end as
// JSON for machines (then the lines go to standard error). Used by one thread.
class Report {
 public:
  explicit Report(bool json);

  void Add(Measure measure);
  // Free text: what was done, and how much of it.
  void Note(const std::string& text);
  void Finish();

 private:
  const bool json_;
  std::vector<Measure> measures_;
};

}  // namespace loglog::bench

#endif  // LOGLOG_BENCH_CONTROL_REPORT_H_
