#include "trainer/progress.h"

#include <unistd.h>

#include <cstdio>

namespace loglog {
namespace {

std::string Duration(double seconds) {
  const auto s = static_cast<long long>(seconds + 0.5);
  char text[32];
  if (s < 60) {
    std::snprintf(text, sizeof text, "%llds", s);
  } else if (s < 3600) {
    std::snprintf(text, sizeof text, "%lldm%02llds", s / 60, s % 60);
  } else {
    std::snprintf(text, sizeof text, "%lldh%02lldm", s / 3600, s % 3600 / 60);
  }
  return text;
}

std::string Short(double value) {
  char text[32];
  if (value >= 1e6) {
    std::snprintf(text, sizeof text, "%.2fM", value / 1e6);
  } else if (value >= 1e3) {
    std::snprintf(text, sizeof text, "%.1fk", value / 1e3);
  } else {
    std::snprintf(text, sizeof text, "%.0f", value);
  }
  return text;
}

}  // namespace

std::string ProgressText(int64_t step, int64_t total, double loss, double rate,
                         int64_t tokens_left) {
  char text[160];
  std::snprintf(text, sizeof text, "step %lld/%lld (%lld%%)  loss %.4f",
                static_cast<long long>(step), static_cast<long long>(total),
                static_cast<long long>(100 * step / total), loss);
  std::string line = text;
  if (rate > 0) {
    line += "  " + Short(rate) + " tok/s  " + Duration(static_cast<double>(tokens_left) / rate) +
            " left";
  }
  return line;
}

Progress::Progress(int64_t begin_step, int64_t total_steps, int64_t tokens_per_step)
    : begin_step_(begin_step),
      total_steps_(total_steps),
      tokens_per_step_(tokens_per_step),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_(start_) {}

Progress::~Progress() {
  if (line_open_) std::fprintf(stderr, "\n");
}

double Progress::Rate(int64_t step) const {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  if (seconds <= 0) return 0;
  return static_cast<double>((step - begin_step_) * tokens_per_step_) / seconds;
}

void Progress::Update(int64_t step, double loss) {
  const Clock::time_point now = Clock::now();
  if (now - last_ < (terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(10))) return;
  last_ = now;
  const std::string text =
      ProgressText(step, total_steps_, loss, Rate(step), (total_steps_ - step) * tokens_per_step_);
  if (terminal_) {
    std::fprintf(stderr, "\r%s\x1b[K", text.c_str());
    line_open_ = true;
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
  std::fflush(stderr);
}

void Progress::Note(const std::string& text) {
  if (line_open_) std::fprintf(stderr, "\r\x1b[K");
  line_open_ = false;
  std::fprintf(stderr, "%s\n", text.c_str());
  std::fflush(stderr);
}

}  // namespace loglog
