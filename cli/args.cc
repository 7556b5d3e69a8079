#include "cli/args.h"

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace loglog::cli {
namespace {

constexpr char kHintUrl[] = "loglog/hint";

absl::Status BadValue(absl::string_view flag, absl::string_view value, absl::string_view want) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, " is `", value, "`: it takes ", want));
}

}  // namespace

bool ReadSize(absl::string_view text, double* value) {
  double scale = 1;
  for (const auto& [suffix, factor] :
       {std::pair<const char*, double>{"k", 1e3}, {"M", 1e6}, {"B", 1e9}, {"T", 1e12}}) {
    if (absl::ConsumeSuffix(&text, suffix)) {
      scale = factor;
      break;
    }
  }
  const bool read = absl::SimpleAtod(text, value);
  *value *= scale;
  return read;
}

bool Args::Has(absl::string_view flag) const { return flags_.find(flag) != flags_.end(); }

bool Args::On(absl::string_view flag) const {
  const auto it = flags_.find(flag);
  return it != flags_.end() && !it->second.empty() && it->second.back() == "true";
}

std::string Args::Get(absl::string_view flag) const {
  if (const auto it = flags_.find(flag); it != flags_.end() && !it->second.empty()) {
    return it->second.back();
  }
  const auto it = defaults_.find(flag);
  return it == defaults_.end() ? "" : it->second;
}

std::vector<std::string> Args::All(absl::string_view flag) const {
  const auto it = flags_.find(flag);
  return it == flags_.end() ? std::vector<std::string>() : it->second;
}

absl::StatusOr<int64_t> Args::Int(absl::string_view flag, int64_t low, int64_t high) const {
  int64_t value = 0;
  const std::string text = Get(flag);
  if (!absl::SimpleAtoi(text, &value) || value < low || value > high) {
    return BadValue(flag, text, absl::StrCat("an integer from ", low, " to ", high));
  }
  return value;
}

absl::StatusOr<double> Args::Number(absl::string_view flag, double low, double high) const {
  const std::string text = Get(flag);
  double value = 0;
  // Written so that a value that is no number is refused as well.
  const bool read = ReadSize(text, &value);
  if (!read || !(value >= low && value <= high)) {
    return BadValue(flag, text,
                    absl::StrCat("a number from ", low, " to ", high,
                                 high >= 1e6 ? ", such as 5000, 120k or 1.5e6" : ""));
  }
  return value;
}

absl::StatusOr<double> Args::Seconds(absl::string_view flag, double low, double high) const {
  const std::string text = Get(flag);
  absl::string_view digits = text;
  double scale = 1;
  if (absl::ConsumeSuffix(&digits, "ms")) {
    scale = 1e-3;
  } else if (absl::ConsumeSuffix(&digits, "h")) {
    scale = 3600;
  } else if (absl::ConsumeSuffix(&digits, "m")) {
    scale = 60;
  } else {
    absl::ConsumeSuffix(&digits, "s");
  }
  double value = 0;
  const bool read = absl::SimpleAtod(digits, &value);
  value *= scale;
  if (!read || !(value >= low && value <= high)) {
    return BadValue(
        flag, text,
        absl::StrCat("a duration from ", low, "s to ", high, "s, such as 30s, 5m or 2h"));
  }
  return value;
}

std::vector<std::string> Args::Many(absl::string_view positional) const {
  const auto it = positionals_.find(positional);
  return it == positionals_.end() ? std::vector<std::string>() : it->second;
}

std::string Args::One(absl::string_view positional) const {
  const std::vector<std::string> values = Many(positional);
  return values.empty() ? "" : values[0];
}

const std::vector<Flag>& GlobalFlags() {
  static const auto* flags = new std::vector<Flag>{
      {.name = "coordinator",
       .value = "ADDR",
       .help = "coordinator to talk to: host:port or unix:/path",
       .default_value = "127.0.0.1:7070",
       .from_env = true},
      {.name = "output",
       .letter = 'o',
       .value = "FORMAT",
       .help = "how data is printed",
       .default_value = "table",
       .choices = {"table", "wide", "json", "jsonl", "csv", "name"},
       .from_env = true},
      {.name = "no-color",
       .help = "plain text, also on a terminal (so does NO_COLOR)",
       .from_env = true},
      {.name = "tls-ca",
       .value = "FILE",
       .help = "speak TLS; trust this PEM file's authorities",
       .from_env = true},
      {.name = "tls-cert",
       .value = "FILE",
       .help = "a certificate of your own for TLS, PEM",
       .from_env = true},
      {.name = "tls-key", .value = "FILE", .help = "its private key, PEM", .from_env = true},
      {.name = "token-file",
       .value = "FILE",
       .help = "holds your token (LOGLOG_TOKEN may be the token itself)",
       .from_env = true},
      {.name = "insecure", .help = "let your token travel in plain text", .from_env = true},
      {.name = "rpc-timeout",
       .value = "TIME",
       .help = "how long one request may take",
       .default_value = "10s",
       .from_env = true},
      {.name = "config",
       .value = "FILE",
       .help = "configuration file (default ~/.config/loglog/config.toml)",
       .from_env = true},
      {.name = "help", .letter = 'h', .help = "show help and leave"},
  };
  return *flags;
}

absl::Status WithHint(absl::Status status, absl::string_view hint) {
  if (!status.ok() && !hint.empty()) status.SetPayload(kHintUrl, absl::Cord(hint));
  return status;
}

std::string HintOf(const absl::Status& status) {
  const absl::optional<absl::Cord> hint = status.GetPayload(kHintUrl);
  return hint.has_value() ? std::string(*hint) : "";
}

}  // namespace loglog::cli
