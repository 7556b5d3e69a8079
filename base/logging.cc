#include "base/logging.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace loglog {
namespace {

class JsonFormatter : public spdlog::formatter {
 public:
  explicit JsonFormatter(std::string program) : program_(std::move(program)) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const std::string time = absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ",
                                              absl::FromChrono(message.time), absl::UTCTimeZone());
    const auto level = spdlog::level::to_string_view(message.level);
    std::string line = JsonLogLine(
        time, absl::string_view(level.data(), level.size()), program_, static_cast<int>(getpid()),
        absl::string_view(message.payload.data(), message.payload.size()));
    line.push_back('\n');
    out.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>(program_);
  }

 private:
  const std::string program_;
};

bool ParseLevel(absl::string_view name, spdlog::level::level_enum* level) {
  static constexpr std::pair<absl::string_view, spdlog::level::level_enum> kLevels[] = {
      {"trace", spdlog::level::trace}, {"debug", spdlog::level::debug},
      {"info", spdlog::level::info},   {"warn", spdlog::level::warn},
      {"error", spdlog::level::err},   {"off", spdlog::level::off}};
  for (const auto& [known, value] : kLevels) {
    if (known == name) {
      *level = value;
      return true;
    }
  }
  return false;
}

}  // namespace

std::string JsonLogLine(absl::string_view time, absl::string_view level, absl::string_view program,
                        int pid, absl::string_view message) {
  nlohmann::ordered_json line;
  line["time"] = std::string(time);
  line["level"] = std::string(level);
  line["program"] = std::string(program);
  line["pid"] = pid;
  line["message"] = std::string(message);
  return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

absl::Status SetUpLogging(const LogOptions& options, absl::string_view program) {
  spdlog::level::level_enum level;
  if (!ParseLevel(options.level, &level)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--log-level is '", options.level, "'; choose trace, debug, info, warn, error or off"));
  }
  if (!options.format.empty() && options.format != "text" && options.format != "json") {
    return absl::InvalidArgumentError(
        absl::StrCat("--log-format is '", options.format, "'; choose text or json"));
  }
  const bool json =
      options.format == "json" || (options.format.empty() && isatty(STDERR_FILENO) == 0);
  auto logger = std::make_shared<spdlog::logger>(
      std::string(program), std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  if (json) {
    logger->set_formatter(std::make_unique<JsonFormatter>(std::string(program)));
  } else {
    logger->set_pattern("%H:%M:%S.%e %^%-5l%$ %v");
  }
  logger->set_level(level);
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
  return absl::OkStatus();
}

}  // namespace loglog
