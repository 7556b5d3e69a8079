#ifndef LOGLOG_WORKER_TRAINER_EVENT_H_
#define LOGLOG_WORKER_TRAINER_EVENT_H_

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"

namespace loglog::worker {

// The lines of events.jsonl as plain structs: the messages of worker_service.proto
// without protobuf, so that all but the wire builds without it.

struct IgnoredLine {};

struct AttemptStartedLine {
  int64_t resume_step = 0;
  std::string trainer_version;
  std::string data_sha256;
  int64_t params_total = 0;
  int64_t params_non_embedding = 0;
  double flops_per_token = 0;
  int64_t total_steps = 0;
};

struct MetricRowLine {
  int member = 0;
  int64_t step = 0;
  int64_t tokens = 0;
  std::vector<uint32_t> names;  // indices into the batch's NameTable
  std::vector<double> values;
};

struct CheckpointLine {
  int64_t step = 0;
  std::string path;
  std::string sha256;
  int64_t bytes = 0;
};

struct MemberEndedLine {
  int member = 0;
  bool diverged = false;
  int64_t step = 0;
  int64_t tokens = 0;
  double final_loss = 0;  // NaN when diverged
  std::string summary_json;
};

struct NoticeLine {
  std::string kind;
  int64_t step = 0;
  std::string detail_json;
};

using TrainerEvent = std::variant<IgnoredLine, AttemptStartedLine, MetricRowLine, CheckpointLine,
                                  MemberEndedLine, NoticeLine>;

// Metric names of one batch, each sent once.
class NameTable {
 public:
  uint32_t Index(const std::string& name);
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
  std::map<std::string, uint32_t> index_;
};

// One line, without its line feed. A malformed line, or one of an unknown kind, is an
// IgnoredLine, so that the lines after it keep their numbers; `problem` then says what
// is wrong (empty for an unknown kind, which a newer trainer may well write).
TrainerEvent ParseTrainerEvent(absl::string_view line, NameTable* names, std::string* problem);

}  // namespace loglog::worker

#endif  // LOGLOG_WORKER_TRAINER_EVENT_H_
