// A trainer's events file: three bytes of choices, then the file. Whatever it holds, its
// lines keep their numbers, and an outbox that is restarted at any moment hands over each
// line once, in order.
#include <algorithm>
#include <variant>

#include <spdlog/spdlog.h>

#include "base/check.h"
#include "nlohmann/json.hpp"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/memory_file.h"
#include "worker/event_file.h"
#include "worker/outbox.h"

namespace loglog::worker {
namespace {

constexpr int64_t kAttempt = 7;

void CheckLine(absl::string_view line) {
  NameTable names;
  std::string problem;
  const TrainerEvent event = ParseTrainerEvent(line, &names, &problem);
  LOGLOG_CHECK(problem.empty() || std::holds_alternative<IgnoredLine>(event));
  if (const auto* row = std::get_if<MetricRowLine>(&event)) {
    LOGLOG_CHECK(row->names.size() == row->values.size() && row->member >= 0);
    for (const uint32_t name : row->names) LOGLOG_CHECK(name < names.names().size());
  } else if (const auto* end = std::get_if<MemberEndedLine>(&event)) {
    LOGLOG_CHECK(end->summary_json.empty() || nlohmann::json::accept(end->summary_json));
  } else if (const auto* notice = std::get_if<NoticeLine>(&event)) {
    LOGLOG_CHECK(notice->detail_json.empty() || nlohmann::json::accept(notice->detail_json));
  }
}

// Events of the file from line `seq` on, read `events_max` at a time; their kinds.
std::string KindsFrom(const std::string& path, int64_t seq, int events_max) {
  EventFile file(path);
  const absl::StatusOr<bool> found = file.SeekToSeq(seq);
  LOGLOG_CHECK(found.ok() && *found);
  std::string kinds;
  for (;;) {
    EventBatch batch;
    const absl::StatusOr<bool> read =
        file.Read({.bytes_max = 64, .events_max = events_max}, &batch);
    LOGLOG_CHECK(read.ok() && *read == !batch.events.empty());
    if (!*read) return kinds;
    for (const TrainerEvent& event : batch.events) {
      kinds += static_cast<char>('0' + event.index());
    }
  }
}

// Sends all of a sealed file to a coordinator that loses every answer whose turn in
// `losses` says so.
void CheckOutbox(const std::string& path, int64_t lines, uint8_t losses) {
  bool uploaded = false;
  FakeClock clock;
  Outbox outbox({.limits = {.bytes_max = 256, .events_max = 3},
                 .clock = &clock,
                 .on_uploaded = [&](int64_t) { uploaded = true; },
                 .on_fenced = [](int64_t) {}});
  outbox.Add(kAttempt, path);
  outbox.Seal(kAttempt, lines - 1);
  int64_t stored = -1;
  int64_t turn = -1;
  while (!uploaded) {
    LOGLOG_CHECK(++turn < 16 * (lines + 2));
    clock.Advance(5'000);
    EventBatch batch;
    if (!outbox.NextBatch(0, &batch)) continue;
    LOGLOG_CHECK(batch.attempt_id == kAttempt);
    if (!batch.events.empty()) {
      LOGLOG_CHECK(batch.first_seq <= stored + 1);  // else the coordinator ends the stream
      stored = std::max<int64_t>(stored, batch.first_seq + batch.events.size() - 1);
    }
    if (turn < 8 && (losses >> turn & 1) != 0) {
      outbox.Restart();
    } else {
      outbox.Acknowledge(kAttempt, stored, /*forget=*/false);
    }
  }
  LOGLOG_CHECK(stored == lines - 1);
  LOGLOG_CHECK(outbox.UploadOf(kAttempt).last_acknowledged == stored);
}

}  // namespace
}  // namespace loglog::worker

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace loglog::worker;
  spdlog::set_level(spdlog::level::off);
  loglog::FuzzInput input(data, size);
  const int events_max = 1 + input.Small(4);
  const uint8_t losses = input.Byte();
  const uint8_t from = input.Byte();
  const absl::string_view text = input.Rest();
  for (absl::string_view rest = text; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    CheckLine(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  const loglog::MemoryFile file(text);
  const int64_t lines = std::count(text.begin(), text.end(), '\n');
  const absl::StatusOr<EventSummary> summary = EventFile::Summarize(file.path());
  LOGLOG_CHECK(summary.ok() && summary->lines == lines);
  const std::string kinds = KindsFrom(file.path(), 0, 1'000);
  LOGLOG_CHECK(static_cast<int64_t>(kinds.size()) == lines);
  LOGLOG_CHECK(std::count(kinds.begin(), kinds.end(), '4') >= summary->members_ended);
  const int64_t seq = lines == 0 ? 0 : from % (lines + 1);
  LOGLOG_CHECK(KindsFrom(file.path(), seq, events_max) == kinds.substr(seq));
  CheckOutbox(file.path(), lines, losses);
  return 0;
}
