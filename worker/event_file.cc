#include "worker/event_file.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/status.h"

namespace loglog::worker {
namespace {

// A longer line is no event of ours; it is read past, in memory of this size.
using limits::kEventLineBytesMax;

absl::StatusOr<std::string> ReadAt(int fd, int64_t offset, int64_t bytes_max,
                                   const std::string& path) {
  std::string bytes(bytes_max, '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = pread(fd, bytes.data() + filled, bytes.size() - filled, offset + filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, absl::StrCat("cannot read ", path));
    if (got == 0) break;
    filled += got;
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace

EventFile::~EventFile() {
  if (fd_ >= 0) close(fd_);
}

absl::Status EventFile::Open() {
  if (fd_ >= 0) return absl::OkStatus();
  fd_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) return ErrnoStatus(errno, absl::StrCat("cannot open ", path_));
  return absl::OkStatus();
}

absl::StatusOr<std::string> EventFile::ReadLines(int64_t bytes_max) {
  const absl::Status opened = Open();
  // The trainer makes the file a moment after it was started.
  if (absl::IsNotFound(opened)) return std::string();
  LOGLOG_RETURN_IF_ERROR(opened);
  for (const int64_t size : {bytes_max, std::max(bytes_max, kEventLineBytesMax)}) {
    LOGLOG_ASSIGN_OR_RETURN(std::string bytes, ReadAt(fd_, position_.offset, size, path_));
    const size_t end = bytes.rfind('\n');
    if (end != std::string::npos) {
      bytes.resize(end + 1);
      return bytes;
    }
    if (static_cast<int64_t>(bytes.size()) < size) return std::string();
  }
  // One line fills the buffer: find its end piece by piece and stand for it by an
  // empty line, which is as malformed as it is.
  for (int64_t offset = position_.offset;;) {
    LOGLOG_ASSIGN_OR_RETURN(const std::string bytes,
                            ReadAt(fd_, offset, kEventLineBytesMax, path_));
    const size_t end = bytes.find('\n');
    if (end != std::string::npos) {
      position_.offset = offset + static_cast<int64_t>(end);
      return std::string("\n");
    }
    if (static_cast<int64_t>(bytes.size()) < kEventLineBytesMax) return std::string();
    offset += static_cast<int64_t>(bytes.size());
  }
}

absl::StatusOr<bool> EventFile::SeekToSeq(int64_t seq) {
  position_ = Position();
  while (position_.seq < seq) {
    LOGLOG_ASSIGN_OR_RETURN(const std::string lines, ReadLines(kEventLineBytesMax));
    if (lines.empty()) return false;
    for (size_t begin = 0; begin < lines.size() && position_.seq < seq;) {
      const size_t end = lines.find('\n', begin);
      position_.offset += static_cast<int64_t>(end + 1 - begin);
      ++position_.seq;
      begin = end + 1;
    }
  }
  return true;
}

absl::StatusOr<bool> EventFile::Read(const Limits& limits, EventBatch* batch) {
  LOGLOG_ASSIGN_OR_RETURN(const std::string lines, ReadLines(limits.bytes_max));
  int malformed = 0;
  std::string first_problem;
  size_t begin = 0;
  while (begin < lines.size() && static_cast<int>(batch->events.size()) < limits.events_max) {
    const size_t end = lines.find('\n', begin);
    const absl::string_view line = absl::string_view(lines).substr(begin, end - begin);
    std::string problem;
    batch->events.push_back(ParseTrainerEvent(line, &batch->names, &problem));
    if (!problem.empty() && malformed++ == 0) {
      first_problem = absl::StrCat("line ", position_.seq + 1, ": ", problem);
    }
    position_.offset += static_cast<int64_t>(end + 1 - begin);
    ++position_.seq;
    begin = end + 1;
  }
  if (malformed > 0) {
    spdlog::warn("{}: {} malformed line(s) ignored; the first: {}", path_, malformed,
                 first_problem);
  }
  return begin > 0;
}

absl::StatusOr<EventSummary> EventFile::Summarize(const std::string& path) {
  EventFile file(path);
  EventSummary summary;
  for (;;) {
    LOGLOG_ASSIGN_OR_RETURN(const std::string lines, file.ReadLines(kEventLineBytesMax));
    if (lines.empty()) return summary;
    for (size_t begin = 0; begin < lines.size();) {
      const size_t end = lines.find('\n', begin);
      const absl::string_view line = absl::string_view(lines).substr(begin, end - begin);
      ++summary.lines;
      begin = end + 1;
      // Cheap test first: nearly all lines are rows.
      if (!absl::StrContains(line, "\"end\"")) continue;
      NameTable names;
      std::string problem;
      const TrainerEvent event = ParseTrainerEvent(line, &names, &problem);
      if (const auto* ended = std::get_if<MemberEndedLine>(&event)) {
        ++summary.members_ended;
        summary.members_diverged += ended->diverged ? 1 : 0;
      }
    }
    file.position_.offset += static_cast<int64_t>(lines.size());
  }
}

}  // namespace loglog::worker
