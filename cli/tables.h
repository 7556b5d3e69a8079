#ifndef LOGLOG_CLI_TABLES_H_
#define LOGLOG_CLI_TABLES_H_

#include <string>
#include <vector>

#include "cli/render/table.h"
#include "loglog/v1/admin_service.pb.h"
#include "loglog/v1/common.pb.h"

namespace loglog::cli {

// API objects as rows. Names and units are the same in every output format.
Table SweepTable(const std::vector<v1::Sweep>& sweeps);
// One column for each axis that takes more than one value among the trials.
Table TrialTable(const std::vector<v1::Trial>& trials);
Table WorkerTable(const std::vector<v1::Worker>& workers, int64_t now_ms);
// `token` is the text of the only one, just made; empty: the tables know none.
Table TokenTable(const std::vector<v1::Token>& tokens, const std::string& token = "");
Table FitTable(const std::vector<v1::Fit>& fits);
Table EventTable(const std::vector<v1::Event>& events);
Table SeriesTable(const std::vector<v1::Series>& series);

// "done", "running", ...: the state's word in lower case.
std::string StateWord(v1::Sweep::State state);
std::string StateWord(v1::Trial::State state);
std::string StateWord(v1::Worker::State state);
std::string VerdictWord(v1::Fit::Verdict verdict);
// STATE_UNSPECIFIED when no state has this name.
v1::Trial::State TrialStateOf(absl::string_view word);

// The last part of a resource name: "phase-50m", or "17" of a trial.
std::string ShortName(absl::string_view resource);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_TABLES_H_
