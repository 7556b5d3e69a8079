#include "coordinator/service_unary.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status.h"
#include "coordinator/names.h"

namespace loglog {
grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

absl::StatusOr<int> PageSize(int requested) {
  if (requested < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("page_size: ", requested, " is negative; 0 asks for the default"));
  }
  return requested == 0 ? limits::kPageSizeDefault : std::min(requested, limits::kPageSizeMax);
}

absl::StatusOr<int64_t> PositionFrom(absl::string_view list, const std::string& token) {
  LOGLOG_ASSIGN_OR_RETURN(const std::string position, ParsePageToken(list, token));
  int64_t number = 0;
  if (!position.empty() && !absl::SimpleAtoi(position, &number)) {
    return absl::InvalidArgumentError("page_token: damaged; begin with the first page");
  }
  return number;
}

}  // namespace loglog
