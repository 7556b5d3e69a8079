#include "proto/rpc_status.h"

#include <cstddef>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "loglog/v1/common.pb.h"

namespace loglog {
namespace {

// The peer's limit is on all trailing metadata, percent-encoded.
constexpr size_t kMessageBytesMax = 4000;

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const absl::string_view message = status.message();
  std::string text(message.substr(0, kMessageBytesMax));
  if (message.size() > kMessageBytesMax) absl::StrAppend(&text, " ... (cut)");
  v1::StatusDetails details;
  status.ForEachPayload([&details](absl::string_view type_url, const absl::Cord& value) {
    google::protobuf::Any* const detail = details.add_details();
    detail->set_type_url(std::string(type_url));
    detail->set_value(std::string(value));
  });
  if (details.details().empty()) {
    return grpc::Status(static_cast<grpc::StatusCode>(status.code()), text);
  }
  details.set_code(static_cast<int>(status.code()));
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), text,
                      details.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  v1::StatusDetails details;
  if (details.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& detail : details.details()) {
      result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  return result;
}

}  // namespace loglog
