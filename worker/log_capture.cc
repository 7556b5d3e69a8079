#include "worker/log_capture.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"

namespace loglog::worker {
namespace {

constexpr size_t kLastBytes = 8'192;

// Cuts in batches, so that a flood of short lines does not move the text each time.
int64_t TrimFront(std::string* text, size_t keep) {
  if (text->size() <= 2 * keep) return 0;
  const size_t cut = text->size() - keep;
  text->erase(0, cut);
  return static_cast<int64_t>(cut);
}

}  // namespace

LogCapture::LogCapture(const std::string& path, int64_t head_bytes, int64_t tail_bytes)
    : head_bytes_(head_bytes), tail_bytes_(tail_bytes) {
  fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd_ < 0) spdlog::warn("cannot write {}: {}", path, strerror(errno));
}

LogCapture::~LogCapture() { Close(); }

void LogCapture::Append(absl::string_view bytes) {
  last_.append(bytes.data(), bytes.size());
  TrimFront(&last_, kLastBytes);
  const int64_t head = std::clamp<int64_t>(head_bytes_ - written_, 0, bytes.size());
  Write(bytes.substr(0, head));
  written_ += head;
  const absl::string_view rest = bytes.substr(head);
  tail_.append(rest.data(), rest.size());
  left_out_ += TrimFront(&tail_, tail_bytes_);
}

void LogCapture::Close() {
  if (fd_ < 0) return;
  if (left_out_ > 0) Write(absl::StrCat("\n[", left_out_, " bytes left out]\n"));
  Write(tail_);
  close(fd_);
  fd_ = -1;
}

void LogCapture::Write(absl::string_view bytes) {
  while (fd_ >= 0 && !bytes.empty()) {
    const ssize_t written = write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    bytes.remove_prefix(written);
  }
}

}  // namespace loglog::worker
