#include "proto/rpc_status.h"

#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

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
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), text);
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace loglog
