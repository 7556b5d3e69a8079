#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "base/utf8.h"
#include "plan/spec_tree.h"

namespace loglog {
namespace {

int CharactersIn(absl::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
  }));
}

// Errors travel as JSON and protobuf, which take UTF-8 only: other bytes become '?'.
void MakeShowable(std::string* line) {
  for (size_t i = 0; i < line->size();) {
    const size_t size = Utf8Size(absl::string_view(*line).substr(i));
    if (size == 0) (*line)[i] = '?';
    i += std::max<size_t>(size, 1);
  }
}

}  // namespace

int SpecErrorSink::AddSource(std::string name, absl::string_view text) {
  Source source{std::move(name), absl::StrSplit(text, '\n')};
  for (std::string& line : source.lines) {
    if (absl::EndsWith(line, "\r")) line.pop_back();
    MakeShowable(&line);
  }
  sources_.push_back(std::move(source));
  return static_cast<int>(sources_.size()) - 1;
}

const std::string& SpecErrorSink::Line(int source, int line) const {
  static const std::string* const empty = new std::string;
  if (source < 0 || source >= static_cast<int>(sources_.size())) return *empty;
  const std::vector<std::string>& lines = sources_[source].lines;
  return line < 0 || line >= static_cast<int>(lines.size()) ? *empty : lines[line];
}

void SpecErrorSink::Add(const SpecPlace& place, std::string message, SpecErrorDetail detail) {
  Add(SpecError{.message = std::move(message),
                .suggestion = std::move(detail.suggestion),
                .field_path = std::move(detail.field_path),
                .hint = std::move(detail.hint)},
      place);
}

void SpecErrorSink::Add(SpecError error, const SpecPlace& place) {
  if (place.source >= 0) {
    const std::string& line = Line(place.source, place.line);
    const size_t byte = std::min<size_t>(place.byte, line.size());
    error.file = sources_[place.source].name;
    error.line = place.line + 1;
    error.column = CharactersIn(absl::string_view(line).substr(0, byte)) + 1;
    error.length = std::max(1, CharactersIn(absl::string_view(line).substr(byte, place.bytes)));
    error.source = line;
  } else if (!sources_.empty()) {
    error.file = sources_[0].name;
  }
  if (full()) return;
  for (const Located& other : errors_) {
    if (other.error.message == error.message && other.error.line == error.line &&
        other.error.column == error.column && other.source == place.source) {
      return;
    }
  }
  errors_.push_back({std::move(error), place.source});
}

absl::Status SpecErrorSink::ToStatus() const {
  if (errors_.empty()) return absl::OkStatus();
  std::vector<Located> sorted = errors_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Located& a, const Located& b) {
    return std::tie(a.source, a.error.line, a.error.column) <
           std::tie(b.source, b.error.line, b.error.column);
  });
  std::vector<SpecError> errors;
  for (Located& located : sorted) errors.push_back(std::move(located.error));
  return SpecErrorStatus(errors, full());
}

}  // namespace loglog
