#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/unique_id.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/render/text.h"
#include "cli/tables.h"

namespace loglog::cli {
namespace {

// Trials a request: keeps each response small whatever the length of the curves.
constexpr size_t kTrialsPerRequest = 20;

// Where rows go: to stdout, or to a file that takes the place of an earlier one only when it is
// whole.
class Sink {
 public:
  Sink(Context& context, const std::string& path) : context_(context), path_(path) {}
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  ~Sink() {
    std::error_code error;
    if (!beside_.empty()) std::filesystem::remove(beside_, error);
  }

  absl::Status Open() {
    if (path_.empty()) return absl::OkStatus();
    std::error_code error;
    const std::filesystem::file_status there = std::filesystem::status(path_, error);
    target_ = path_;
    // A pipe or a device is written to as it is, and a link goes on naming its file.
    if (!std::filesystem::exists(there) || std::filesystem::is_regular_file(there)) {
      const std::filesystem::path real = std::filesystem::weakly_canonical(path_, error);
      if (!error && !real.empty()) target_ = real.string();
      beside_ = absl::StrCat(target_, ".tmp-", RandomHexId(6));
    }
    file_.open(beside_.empty() ? target_ : beside_, std::ios::binary);
    if (!file_) {
      return absl::InternalError(absl::StrCat("cannot write ", path_, ": check the folder"));
    }
    if (!beside_.empty() && std::filesystem::exists(there)) {
      std::filesystem::permissions(beside_, there.permissions(), error);
    }
    return absl::OkStatus();
  }

  void Write(absl::string_view text) {
    if (path_.empty()) {
      context_.Print(text);
    } else {
      file_.write(text.data(), static_cast<std::streamsize>(text.size()));
    }
  }

  // Everything was written.
  absl::Status Finish() {
    if (path_.empty()) return absl::OkStatus();
    file_.close();
    if (!file_) {
      return absl::InternalError(absl::StrCat("cannot write ", path_, ": is the disk full?"));
    }
    if (beside_.empty()) return absl::OkStatus();
    std::error_code error;
    std::filesystem::rename(beside_, target_, error);
    if (error) {
      return absl::InternalError(
          absl::StrCat("cannot write ", path_, ": ", error.message(), "; check the folder"));
    }
    beside_.clear();
    return absl::OkStatus();
  }

 private:
  Context& context_;
  const std::string path_;
  std::string target_;
  std::string beside_;  // to be renamed to it; empty: nothing is
  std::ofstream file_;
};

// `table` without its header line when `first` is false.
std::string Rows(const Table& table, Format format, bool first) {
  const std::string text = RenderTable(table, format, {});
  if (format != Format::kCsv || first) return text;
  return text.substr(text.find('\n') + 1);
}

absl::StatusOr<int> Export(Context& context, Format format) {
  if (context.args().OnLine("metric") && !context.args().On("points")) {
    return WithHint(absl::InvalidArgumentError("--metric is for the curves of --points, and trials "
                                               "are asked for"),
                    "give --points, or leave --metric out");
  }
  LOGLOG_ASSIGN_OR_RETURN(Client* const client, context.client());
  LOGLOG_ASSIGN_OR_RETURN(const v1::Sweep sweep,
                          SweepToShow(context, *client, context.args().One("SWEEP")));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<v1::Trial> trials, client->ListTrials(sweep.name()));
  const std::string path = context.args().Get("file");
  Sink sink(context, path);
  LOGLOG_RETURN_IF_ERROR(sink.Open());
  std::string told;
  if (!context.args().On("points")) {
    Table table = TrialTable(trials);
    sink.Write(Rows(table, format, true));
    told = absl::StrCat(trials.size(), " of ", Plural(sweep.counts().total(), "trial"));
  } else {
    int64_t points = 0, total = 0;
    bool first = true;
    for (size_t begin = 0; begin < trials.size() || first; begin += kTrialsPerRequest) {
      v1::ListPointsRequest request;
      request.set_sweep(sweep.name());
      for (size_t i = begin; i < std::min(trials.size(), begin + kTrialsPerRequest); ++i) {
        request.add_trials(trials[i].name());
      }
      for (const std::string& metric : context.args().All("metric")) request.add_metrics(metric);
      v1::ListPointsResponse response;
      if (!trials.empty()) {
        LOGLOG_ASSIGN_OR_RETURN(response, client->ListPoints(request));
      }
      const std::vector<v1::Series> series(response.series().begin(), response.series().end());
      for (const v1::Series& s : series) {
        points += s.points_size();
        total += s.total_points();
      }
      sink.Write(Rows(SeriesTable(series), format, first));
      first = false;
    }
    told = absl::StrCat(points, " of ", Plural(total, "point"), " of ",
                        Plural(trials.size(), "trial"));
  }
  LOGLOG_RETURN_IF_ERROR(sink.Finish());
  if (!path.empty()) absl::StrAppend(&told, " to ", path);
  context.Note(absl::StrCat("exported ", told));
  return kExitOk;
}

Command ExportCommand(const char* name, Format format) {
  return {.path = absl::StrCat("export ", name),
          .summary = absl::StrCat("trials, or with --points their curves, as ", name),
          .details = "All rows, none sampled. A number that is not finite is empty (null in JSON).",
          .positionals = {{.name = "SWEEP",
                           .help = "name of the sweep (default: the newest)",
                           .required = false}},
          .flags = {{.name = "points", .help = "one row a point of each curve"},
                    {.name = "metric",
                     .value = "NAME",
                     .help = "with --points: loss/val, norm/grad, ... "
                             "(default loss/train and loss/val)",
                     .repeated = true},
                    {.name = "file",
                     .letter = 'f',
                     .value = "FILE",
                     .help = "write here instead of to stdout"}},
          .run = [format](Context& context) { return Export(context, format); }};
}

}  // namespace

std::vector<Command> ExportCommands() {
  return {ExportCommand("csv", Format::kCsv), ExportCommand("jsonl", Format::kJsonl)};
}

}  // namespace loglog::cli
