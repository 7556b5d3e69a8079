#ifndef LOGLOG_COORDINATOR_SERVICE_CONVERT_H_
#define LOGLOG_COORDINATOR_SERVICE_CONVERT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "fit/law_prediction.h"
#include "loglog/v1/common.pb.h"
#include "store/rows.h"

// Rows of the store as the messages of the wire contract. What a row does not know
// (pending reasons, busy slots, time left) the caller fills in.
namespace loglog {

v1::Sweep ToProto(const SweepRow& row);
v1::Trial ToProto(const TrialRow& row);
v1::Worker ToProto(const WorkerRow& row);
v1::Event ToProto(const EventRow& row);
v1::PredictedLoss ToProto(const PredictedLoss& loss);
// `sweep` is the sweep's name. DATA_LOSS: the stored result cannot be read.
absl::StatusOr<v1::Fit> ToProto(const FitRow& row, absl::string_view sweep);

TrialState FromProto(v1::Trial::State state);

// Etags are the row's revision in text. An empty one means "whatever it is": 0.
// INVALID_ARGUMENT for what no sweep ever had.
std::string MakeEtag(int64_t revision);
absl::StatusOr<int64_t> ParseEtag(absl::string_view etag);

}  // namespace loglog

#endif  // LOGLOG_COORDINATOR_SERVICE_CONVERT_H_
