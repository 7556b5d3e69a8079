#include "shards/decay_windows.h"

#include <charconv>
#include <cmath>
#include <optional>

namespace loglog {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr size_t kWindowsMax = 64;
constexpr double kFactorMax = 1e6;
constexpr double kStepMax = 1e15;

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  for (const std::string_view word : Split(text, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

std::optional<double> ReadNumber(std::string_view word, double max) {
  double value = 0;
  const char* const end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, value);
  if (error != std::errc() || rest != end || !(value >= 0 && value <= max)) return std::nullopt;
  return value;
}

std::optional<RunMoment> ReadMoment(std::string_view word) {
  const bool is_percent = !word.empty() && word.back() == '%';
  if (is_percent) word.remove_suffix(1);
  const auto value = ReadNumber(word, is_percent ? 100 : kStepMax);
  if (!value || (!is_percent && *value != std::floor(*value))) return std::nullopt;
  return RunMoment{*value, is_percent};
}

std::string NumberText(double value) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  return std::string(text, end);
}

std::string MomentText(const RunMoment& moment) {
  if (!moment.is_percent) return std::to_string(static_cast<int64_t>(moment.value));
  return NumberText(moment.value) + "%";
}

std::string Quoted(std::string_view text) { return "`" + std::string(text) + "`"; }

bool ReadWindow(std::string_view text, DecayWindow* window, std::string* error) {
  const std::vector<std::string_view> words = Words(text);
  const auto refuse = [&](std::string_view what, const char* why) {
    *error = Quoted(what) + " " + why;
    return false;
  };
  if (words.size() != 2 && words.size() != 3 && words.size() != 5) {
    return refuse(text,
                  "is no window: write FROM TO, FROM TO FACTOR, or FROM TO FACTOR FACTOR and "
                  "linear or cosine, such as 50% 100% 1 0 linear");
  }
  RunMoment* const moments[] = {&window->begin, &window->end};
  for (size_t i = 0; i < 2; ++i) {
    const auto moment = ReadMoment(words[i]);
    if (!moment) return refuse(words[i], "is no moment of a run: write 25% or a step, 5000");
    *moments[i] = *moment;
  }
  if (words.size() == 2) return true;
  for (size_t i = 2; i < 4 && i < words.size(); ++i) {
    const auto factor = ReadNumber(words[i], kFactorMax);
    if (!factor) return refuse(words[i], "is no factor of lambda: write a number from 0 to 1e6");
    if (i == 2) window->first_factor = *factor;
    window->last_factor = *factor;
  }
  if (words.size() == 3) return true;
  if (words[4] != "linear" && words[4] != "cosine") {
    return refuse(words[4], "is no curve: write linear or cosine");
  }
  // Between equal factors there is one curve.
  const bool cosine = words[4] == "cosine" && window->first_factor != window->last_factor;
  window->curve = cosine ? DecayCurve::kCosine : DecayCurve::kLinear;
  return true;
}

std::string WindowText(const DecayWindow& window) {
  std::string text = MomentText(window.begin) + " " + MomentText(window.end);
  const bool flat = window.first_factor == window.last_factor;
  if (flat && window.first_factor == 1) return text;
  text += " " + NumberText(window.first_factor);
  if (flat) return text;
  return text + " " + NumberText(window.last_factor) +
         (window.curve == DecayCurve::kCosine ? " cosine" : " linear");
}

}  // namespace

int64_t StepOfShare(double share, int64_t steps) {
  return std::llround(share * static_cast<double>(steps));
}

int64_t RunMoment::StepOf(int64_t steps) const {
  return is_percent ? StepOfShare(value / 100, steps) : static_cast<int64_t>(value);
}

std::vector<DecayWindow> ParseDecayWindows(std::string_view text, std::string* error) {
  error->clear();
  std::vector<DecayWindow> windows;
  for (const std::string_view part : Split(text, ';')) {
    if (windows.size() == kWindowsMax) {
      *error = "more than " + std::to_string(kWindowsMax) + " windows: join some";
      return {};
    }
    DecayWindow window;
    if (!ReadWindow(part, &window, error)) return {};
    windows.push_back(window);
  }
  return windows;
}

std::string DecayWindowsText(const std::vector<DecayWindow>& windows) {
  std::string text;
  for (const DecayWindow& window : windows) text += (text.empty() ? "" : "; ") + WindowText(window);
  return text;
}

std::string DecayWindowsFault(const std::vector<DecayWindow>& windows, int64_t steps) {
  int64_t free_from = 0;
  for (const DecayWindow& window : windows) {
    const int64_t begin = window.begin.StepOf(steps), end = window.end.StepOf(steps);
    const std::string which = "window " + Quoted(WindowText(window));
    const std::string of_run = " of the run's " + std::to_string(steps) + " steps";
    if (end > steps) return which + " ends after the last" + of_run + "; end it at 100%";
    if (begin >= end) return which + " has none" + of_run + "; end it later, or remove it";
    if (begin < free_from) {
      return which + " begins before the one in front of it ends, at step " +
             std::to_string(free_from) + of_run + "; write windows in order, without overlap";
    }
    free_from = end;
  }
  return "";
}

double DecayFactor(const std::vector<DecayWindow>& windows, int64_t t, int64_t steps) {
  for (const DecayWindow& window : windows) {
    const int64_t begin = window.begin.StepOf(steps), end = window.end.StepOf(steps);
    if (t < begin || t >= end) continue;
    const double first = window.first_factor, last = window.last_factor;
    if (first == last) return first;
    const double u = static_cast<double>(t - begin) / static_cast<double>(end - begin);
    if (window.curve == DecayCurve::kLinear) return first + (last - first) * u;
    return last + (first - last) * 0.5 * (1 + std::cos(kPi * u));
  }
  return 0;
}

}  // namespace loglog
