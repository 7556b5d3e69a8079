// What a worker says of itself: "R" or "S", then a registration or a sync in protobuf's text
// format. Refused with INVALID_ARGUMENT (another protocol: FAILED_PRECONDITION), or within
// the limits.
#include "base/check.h"
#include "base/limits.h"
#include "coordinator/names.h"
#include "coordinator/worker_service_convert.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "loglog/v1/worker_service.pb.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

struct Silent : google::protobuf::io::ErrorCollector {
  void AddError(int, google::protobuf::io::ColumnNumber, const std::string&) override {}
};

template <typename Message>
bool Read(absl::string_view text, Message* message) {
  Silent silent;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&silent);
  Message sent;
  // Text that is not UTF-8 does not pass the wire.
  return parser.ParseFromString(std::string(text), &sent) &&
         message->ParseFromString(sent.SerializeAsString());
}

void Register(const v1::RegisterWorkerRequest& message) {
  const auto request = FromProto(message, "0.1.0");
  if (!request.ok()) {
    LOGLOG_CHECK(absl::IsInvalidArgument(request.status()) ||
                 absl::IsFailedPrecondition(request.status()));
    return;
  }
  LOGLOG_CHECK(IsResourceId(request->worker_id) && !request->boot_id.empty());
  LOGLOG_CHECK(request->slots >= 1 && request->slots <= limits::kSlotsOfWorkerMax);
  const auto labels = nlohmann::json::parse(request->labels_json);
  LOGLOG_CHECK(labels.is_object() && labels.size() == message.labels().size());
  LOGLOG_CHECK(nlohmann::json::parse(request->slots_json).size() == request->slots);
}

void Sync(const v1::SyncWorkerRequest& message) {
  const auto request = FromProto(message);
  if (!request.ok()) {
    LOGLOG_CHECK(absl::IsInvalidArgument(request.status()));
    return;
  }
  LOGLOG_CHECK(request->report.slots.size() == message.slots_size());
  LOGLOG_CHECK(request->report.unhealthy.size() <= limits::kReasonBytesMax);
  for (const HeldReport& held : request->report.held) {
    LOGLOG_CHECK(held.outcome.message.size() <= limits::kOutcomeMessageBytesMax);
  }
}

}  // namespace
}  // namespace loglog

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loglog;
  if (size == 0) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'R') {
    v1::RegisterWorkerRequest message;
    if (Read(text, &message)) Register(message);
  } else {
    v1::SyncWorkerRequest message;
    if (Read(text, &message)) Sync(message);
  }
  return 0;
}
