#include "worker/labels.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status.h"
#include "worker/outcome.h"

namespace loglog::worker {
namespace {

bool IsPlainText(absl::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return absl::ascii_iscntrl(c); }) &&
         CleanMessage(text, absl::string_view::npos) == text;
}

absl::Status CheckPart(absl::string_view label, absl::string_view what, absl::string_view text,
                       size_t bytes_max) {
  if (text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--label is '", CleanMessage(label, 100), "', whose ", what, " is empty; write key=value"));
  }
  if (text.size() > bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("--label '", CleanMessage(label.substr(0, 40)),
                                                   "...': its ", what, " has ", text.size(),
                                                   " bytes, at most ", bytes_max, "; shorten it"));
  }
  if (IsPlainText(text)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--label '", CleanMessage(label, 100), "': its ", what,
                   " must be UTF-8 without control characters and without spaces at its ends"));
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> ParseLabels(
    const std::vector<std::string>& labels) {
  if (labels.size() > limits::kLabelsOfWorkerMax) {
    return absl::InvalidArgumentError(absl::StrCat("--label is there ", labels.size(),
                                                   " times, at most ", limits::kLabelsOfWorkerMax,
                                                   "; leave out what no sweep selects by"));
  }
  std::map<std::string, std::string> result;
  for (const std::string& label : labels) {
    const size_t equals = label.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("--label is '", CleanMessage(label, 100), "'; write key=value"));
    }
    const std::string key = label.substr(0, equals);
    const std::string value = label.substr(equals + 1);
    LOGLOG_RETURN_IF_ERROR(CheckPart(label, "key", key, limits::kLabelKeyBytesMax));
    LOGLOG_RETURN_IF_ERROR(CheckPart(label, "value", value, limits::kLabelValueBytesMax));
    const auto [known, added] = result.emplace(key, value);
    if (!added && known->second != value) {
      return absl::InvalidArgumentError(absl::StrCat("--label gives ", key, " twice, as '",
                                                     known->second, "' and as '", value,
                                                     "'; keep one"));
    }
  }
  return result;
}

absl::Status CheckFlagText(absl::string_view flag, absl::string_view text) {
  if (text.size() > limits::kTextBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(flag, " has ", text.size(), " bytes, at most ",
                                                   limits::kTextBytesMax, "; shorten it"));
  }
  if (IsPlainText(text)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      flag, " must be UTF-8 without control characters and without spaces at its ends"));
}

}  // namespace loglog::worker
