#include "worker/outcome.h"

#include <signal.h>
#include <string.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace loglog::worker {
namespace {

using Kind = Outcome::Kind;

constexpr std::pair<Kind, absl::string_view> kNames[] = {
    {Kind::kDone, "done"},
    {Kind::kDiverged, "diverged"},
    {Kind::kStopped, "stopped"},
    {Kind::kFailed, "failed"},
    {Kind::kRefused, "refused"},
    {Kind::kOutOfMemory, "out of memory"},
    {Kind::kDeviceError, "device error"},
    {Kind::kLost, "lost"},
};

// The trainer's exit codes (docs: TRAINER).
constexpr int kExitDone = 0;
constexpr int kExitDiverged = 10;
constexpr int kExitRefused = 20;
constexpr int kExitOutOfMemory = 30;
constexpr int kExitDeviceError = 40;
constexpr int kExitHostUnusable = 41;
constexpr int kExitAskedToStop = 143;
constexpr int kExitNotLoaded = 127;  // the dynamic loader's, before the trainer begins

// The last `count` lines that hold something.
std::string LastLines(absl::string_view text, size_t count) {
  std::vector<absl::string_view> lines =
      absl::StrSplit(text, absl::ByAnyChar("\r\n"), absl::SkipWhitespace());
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - count);
  for (absl::string_view& line : lines) line = absl::StripTrailingAsciiWhitespace(line);
  return absl::StrJoin(lines, "\n");
}

std::string WithWords(absl::string_view what, absl::string_view words) {
  return words.empty() ? std::string(what) : absl::StrCat(what, ": ", words);
}

std::string SignalText(int signal) {
  const char* name = sigabbrev_np(signal);
  return name == nullptr ? absl::StrCat("signal ", signal) : absl::StrCat("SIG", name);
}

// Signals that people, schedulers and the kernel's OOM killer send; the others are what
// a program brings on itself.
bool SentFromOutside(int signal) {
  return signal == SIGKILL || signal == SIGTERM || signal == SIGINT || signal == SIGHUP;
}

std::pair<Kind, std::string> ClassifySignal(int signal, absl::string_view last_words) {
  const std::string name = SignalText(signal);
  // A mapped file that can no longer be read: with read() it would be an error of the host, too.
  if (signal == SIGBUS) {
    return {Kind::kDeviceError, WithWords("data or disk of this host: trainer ended with SIGBUS",
                                          LastLines(last_words, 10))};
  }
  if (!SentFromOutside(signal)) {
    return {Kind::kFailed,
            WithWords(absl::StrCat("trainer crashed with ", name), LastLines(last_words, 10))};
  }
  std::string text =
      absl::StrCat("trainer was ended by ", name, ", which this worker did not send");
  if (signal == SIGKILL) {
    absl::StrAppend(&text,
                    "; if the kernel's log shows that it ran out of memory, give the host fewer "
                    "slots or more memory");
  }
  return {Kind::kLost, text};
}

std::pair<Kind, std::string> ClassifyCode(int code, const EventSummary& events, int members,
                                          absl::string_view last_words) {
  const std::string line = LastLines(last_words, 1);
  switch (code) {
    case kExitDone:
      if (events.members_ended >= members) return {Kind::kDone, ""};
      return {Kind::kFailed,
              absl::StrCat("trainer exited with 0, but its events end ", events.members_ended,
                           " of ", members, " members; is it of another version?")};
    case kExitDiverged:
      if (events.members_diverged >= members) return {Kind::kDiverged, line};
      return {Kind::kFailed,
              absl::StrCat("trainer exited with 10 (diverged), but its events say so of ",
                           events.members_diverged, " of ", members, " members")};
    case kExitRefused:
      return {Kind::kRefused, WithWords("trainer refused the task", line)};
    case kExitOutOfMemory:
      return {Kind::kOutOfMemory, WithWords("trainer ran out of memory", line)};
    case kExitDeviceError:
      return {Kind::kDeviceError, WithWords("device error", line)};
    case kExitHostUnusable:
      return {Kind::kDeviceError, WithWords("data or disk of this host", line)};
    case kExitNotLoaded:
      return {Kind::kDeviceError,
              WithWords("trainer cannot be loaded on this host (are LibTorch's libraries there?)",
                        line)};
    case kExitAskedToStop:
      return {Kind::kLost, "trainer was asked to stop by someone other than this worker"};
    default:
      return {Kind::kFailed, WithWords(absl::StrCat("trainer failed with exit code ", code),
                                       LastLines(last_words, 10))};
  }
}

}  // namespace

Outcome ClassifyExit(const ExitStatus& status, StopCause cause, const EventSummary& events,
                     int members, absl::string_view last_words) {
  Outcome outcome{.exit_code = status.exit_code, .signal = status.signal};
  outcome.last_seq = events.lines - 1;
  const bool by_signal = status.signal != 0;
  std::pair<Kind, std::string> result =
      by_signal ? ClassifySignal(status.signal, last_words)
                : ClassifyCode(status.exit_code, events, members, last_words);
  // A trainer that ended by itself before the signal arrived keeps its own result.
  const bool ended_by_us = (by_signal && SentFromOutside(status.signal)) ||
                           (!by_signal && status.exit_code == kExitAskedToStop);
  if (cause != StopCause::kNone && ended_by_us) {
    if (cause == StopCause::kAsked) {
      result = {Kind::kStopped, status.signal == SIGKILL
                                    ? "stopped; the trainer did not leave in time and was killed"
                                    : "stopped as asked"};
    } else {
      result = {Kind::kLost,
                "killed by the worker: no sync with the coordinator succeeded before "
                "the end of the lease"};
      // Our own, which says nothing of the host: of signals it is asked how many kill trainers.
      outcome.signal = 0;
    }
  }
  outcome.kind = result.first;
  outcome.message = CleanMessage(result.second);
  return outcome;
}

Outcome ClassifyUnreadEnd(const ExitStatus& status, absl::string_view why) {
  return {.kind = Kind::kDeviceError,
          .exit_code = status.exit_code,
          .signal = status.signal,
          .message = CleanMessage(absl::StrCat(
              "data or disk of this host: the trainer's events cannot be read: ", why))};
}

Outcome ClassifyUnseenEnd(const EventSummary& events, int members) {
  Outcome outcome;
  outcome.last_seq = events.lines - 1;
  if (members > 0 && events.members_ended >= members) {
    const bool all_diverged = events.members_diverged >= members;
    outcome.kind = all_diverged ? Kind::kDiverged : Kind::kDone;
    outcome.exit_code = all_diverged ? kExitDiverged : kExitDone;
    return outcome;
  }
  // By the signal that ends a trainer with its daemon, which says nothing of the host.
  outcome.kind = Kind::kLost;
  outcome.message = "the worker daemon ended, and its trainer with it";
  return outcome;
}

std::string CleanMessage(absl::string_view text, size_t max_bytes) {
  using Json = nlohmann::json;
  // nlohmann knows UTF-8: dumping replaces what is not, parsing gives the text back.
  const auto clean = [](absl::string_view bytes) {
    return Json::parse(
               Json(std::string(bytes)).dump(-1, ' ', false, Json::error_handler_t::replace))
        .get<std::string>();
  };
  std::string result = clean(absl::StripAsciiWhitespace(text));
  if (result.size() > max_bytes) {
    constexpr absl::string_view kDots = "... ";
    size_t begin = result.size() - (std::max(max_bytes, kDots.size()) - kDots.size());
    while (begin < result.size() && (result[begin] & 0xC0) == 0x80) ++begin;
    result = absl::StrCat(kDots, result.substr(begin));
  }
  return result;
}

absl::string_view OutcomeName(Kind kind) {
  for (const auto& [known, name] : kNames) {
    if (known == kind) return name;
  }
  return "unknown";
}

std::string OutcomeToJson(const Outcome& outcome) {
  nlohmann::ordered_json json;
  json["outcome"] = std::string(OutcomeName(outcome.kind));
  json["exit_code"] = outcome.exit_code;
  json["signal"] = outcome.signal;
  json["last_seq"] = outcome.last_seq;
  json["message"] = outcome.message;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

absl::StatusOr<Outcome> OutcomeFromJson(absl::string_view text) {
  const auto json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  try {
    Outcome outcome;
    const std::string name = json.at("outcome").get<std::string>();
    const auto* known = std::find_if(std::begin(kNames), std::end(kNames),
                                     [&](const auto& entry) { return entry.second == name; });
    if (known == std::end(kNames)) {
      return absl::DataLossError(absl::StrCat("unknown outcome '", name, "'"));
    }
    outcome.kind = known->first;
    outcome.exit_code = json.at("exit_code").get<int>();
    outcome.signal = json.at("signal").get<int>();
    outcome.last_seq = json.at("last_seq").get<int64_t>();
    outcome.message = CleanMessage(json.at("message").get<std::string>());
    return outcome;
  } catch (const nlohmann::json::exception& e) {
    return absl::DataLossError(absl::StrCat("not an outcome: ", e.what()));
  }
}

}  // namespace loglog::worker
