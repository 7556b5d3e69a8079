#include "cli/live.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <ostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/render/text.h"

namespace loglog::cli {
namespace {

std::atomic<bool> interrupted{false};
struct sigaction old_int, old_term;

void OnSignal(int) { interrupted.store(true); }

}  // namespace

void LiveRegion::Update(absl::string_view text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  const size_t height = std::max(3, rows_ - 1);
  if (lines.size() > height) {
    const size_t hidden = lines.size() - height + 1;
    lines.resize(height - 1);
    lines.push_back(absl::StrCat("... ", hidden, " more lines (make the window taller)"));
  }
  std::string frame = lines_ > 0 ? absl::StrCat("\x1b[", lines_, "A\r") : "";
  for (const std::string& line : lines) {
    absl::StrAppend(&frame, "\x1b[2K", Truncate(line, columns_), "\n");
  }
  out_ << frame << "\x1b[J" << std::flush;
  lines_ = static_cast<int>(lines.size());
}

InterruptGuard::InterruptGuard() {
  interrupted.store(false);
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigaction(SIGINT, &action, &old_int);
  sigaction(SIGTERM, &action, &old_term);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &old_int, nullptr);
  sigaction(SIGTERM, &old_term, nullptr);
}

bool InterruptGuard::Interrupted() { return interrupted.load(); }

}  // namespace loglog::cli
