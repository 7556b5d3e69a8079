#include "plan/scalar.h"

#include <cmath>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/duration.h"
#include "plan/suggest.h"

namespace loglog {
namespace {

struct Complaint {
  std::string message;
  std::string suggestion;
};

bool IsWhole(FieldType type) { return type == FieldType::kInteger || type == FieldType::kCount; }

bool IsNumeric(FieldType type) {
  return IsWhole(type) || type == FieldType::kNumber || type == FieldType::kShare;
}

std::string WithoutUnderscores(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c != '_') out += c;
  }
  return out;
}

bool AllOf(absl::string_view text, absl::string_view set) {
  return !text.empty() && text.find_first_not_of(set) == absl::string_view::npos;
}

// Words that some YAML loaders take for a flag.
std::optional<bool> LooseFlag(const std::string& text) {
  const std::string lower = absl::AsciiStrToLower(text);
  for (const char* word : {"true", "yes", "on", "y"}) {
    if (lower == word) return true;
  }
  for (const char* word : {"false", "no", "off", "n"}) {
    if (lower == word) return false;
  }
  return std::nullopt;
}

bool IsNotFinite(const std::string& text) {
  std::string word = absl::AsciiStrToLower(text);
  if (!word.empty() && (word[0] == '-' || word[0] == '+')) word.erase(0, 1);
  return word == ".nan" || word == "nan" || word == ".inf" || word == "inf" || word == "infinity";
}

// Spellings of numbers on which YAML loaders disagree.
std::optional<Complaint> Ambiguity(const std::string& text) {
  absl::string_view body = text;
  if (!body.empty() && (body[0] == '-' || body[0] == '+')) body.remove_prefix(1);
  const std::string quoted = absl::StrCat("`", text, "`");
  constexpr char kDigits[] = "0123456789";
  const std::string lower = absl::AsciiStrToLower(body);
  const std::pair<const char*, int> prefixes[] = {{"0o", 8}, {"0x", 16}, {"0b", 2}};
  for (const auto& [prefix, base] : prefixes) {
    if (!absl::StartsWith(lower, prefix) || lower.size() < 3) continue;
    char* end = nullptr;
    const long long value = std::strtoll(lower.c_str() + 2, &end, base);
    if (*end != '\0') continue;
    return Complaint{absl::StrCat(quoted, " is not a decimal number"),
                     absl::StrCat("write ", value)};
  }
  if (body.size() > 1 && body[0] == '0' && AllOf(body, kDigits)) {
    const std::string decimal(body.substr(std::min(body.find_first_not_of('0'), body.size() - 1)));
    const bool octal = AllOf(body, "01234567");
    const long long value = std::strtoll(lower.c_str(), nullptr, 8);
    return Complaint{
        absl::StrCat(quoted, octal ? " is octal to some YAML loaders and decimal to others"
                                   : " has a leading zero"),
        octal ? absl::StrCat("write ", decimal, " or ", value) : absl::StrCat("write ", decimal)};
  }
  if (absl::StrContains(text, '_') && ParseDecimal(WithoutUnderscores(text))) {
    return Complaint{absl::StrCat(quoted, " is a number to some YAML loaders and text to others"),
                     absl::StrCat("write ", WithoutUnderscores(text))};
  }
  if (IsNotFinite(text)) return Complaint{absl::StrCat(quoted, " is not a finite number"), ""};
  return std::nullopt;
}

// 1e-3 and 1.0e3: text to PyYAML, numbers to others.
std::optional<Complaint> AmbiguousExponent(const std::string& text) {
  const size_t e = text.find_first_of("eE");
  if (e == std::string::npos || !ParseDecimal(text)) return std::nullopt;
  std::string mantissa = text.substr(0, e), exponent = text.substr(e + 1);
  const bool pointless = !absl::StrContains(mantissa, '.');
  const bool unsigned_exponent = exponent[0] != '-' && exponent[0] != '+';
  if (!pointless && !unsigned_exponent) return std::nullopt;
  if (pointless) mantissa += ".0";
  if (unsigned_exponent) exponent.insert(0, "+");
  return Complaint{absl::StrCat("`", text, "` is a number to some YAML loaders and text to others"),
                   absl::StrCat("write ", mantissa, "e", exponent)};
}

int UnitPower(char unit) {
  switch (unit) {
    case 'k':
      return 3;
    case 'M':
      return 6;
    case 'B':
      return 9;
    case 'T':
      return 12;
  }
  return 0;
}

// "200M" as 2e8. Nothing when there is no unit; a complaint about a unit that is not ours.
std::optional<Decimal> ParseWithUnit(const std::string& text, Complaint* complaint) {
  if (text.size() < 2 || !absl::ascii_isalpha(text.back())) return std::nullopt;
  const std::string body = text.substr(0, text.size() - 1);
  if (absl::StrContains(absl::AsciiStrToLower(body), 'e')) return std::nullopt;
  const auto number = ParseDecimal(body);
  if (!number) return std::nullopt;
  if (const int power = UnitPower(text.back()); power > 0) return number->Scaled(power);
  complaint->message = absl::StrCat("`", text.substr(text.size() - 1), "` is not a unit");
  const std::pair<const char*, const char*> usual[] = {{"K", "k"}, {"m", "M"}, {"b", "B"},
                                                       {"G", "B"}, {"g", "B"}, {"t", "T"}};
  for (const auto& [wrong, right] : usual) {
    if (text.substr(text.size() - 1) == wrong) {
      complaint->suggestion = absl::StrCat("did you mean `", body, right, "`?");
    }
  }
  if (complaint->suggestion.empty()) complaint->suggestion = "units are k, M, B and T";
  return std::nullopt;
}

std::optional<Decimal> ParseNumber(const SpecField& field, const SpecNode& node,
                                   Complaint* complaint) {
  const std::string& text = node.text;
  if (node.quoted && ParseDecimal(text)) {
    *complaint = {absl::StrCat("expected ", DescribeType(field), ", got the text \"", text, "\""),
                  "remove the quotes"};
    return std::nullopt;
  }
  if (auto ambiguity = Ambiguity(text)) {
    *complaint = *std::move(ambiguity);
    return std::nullopt;
  }
  if (field.type == FieldType::kCount) {
    if (const auto number = ParseWithUnit(text, complaint)) return number;
    if (!complaint->message.empty()) return std::nullopt;
  } else {
    Complaint ignored;
    if (ParseWithUnit(text, &ignored)) {
      *complaint = {absl::StrCat("`", text, "` has a unit, and this field takes none"),
                    "write the number out"};
      return std::nullopt;
    }
  }
  if (absl::EndsWith(text, "%")) {
    const auto number = ParseDecimal(text.substr(0, text.size() - 1));
    if (number && field.type == FieldType::kShare) return number->Scaled(-2);
    if (number) {
      *complaint = {absl::StrCat("`", text, "` is a share, and this field is none"),
                    "write the number itself"};
      return std::nullopt;
    }
  }
  if (field.type != FieldType::kCount) {
    if (auto ambiguity = AmbiguousExponent(text)) {
      *complaint = *std::move(ambiguity);
      return std::nullopt;
    }
  }
  const auto number = ParseDecimal(text);
  if (!number)
    *complaint = {absl::StrCat("expected ", DescribeType(field), ", got ", node.Describe()), ""};
  return number;
}

std::optional<SpecValue> ReadText(const SpecNode& node, Complaint* complaint) {
  if (node.quoted) return std::optional<SpecValue>(node.text);
  const bool typed = LooseFlag(node.text) || Ambiguity(node.text) || ParseDecimal(node.text);
  if (typed) {
    *complaint = {absl::StrCat("`", node.text, "` is not text to every YAML loader"),
                  absl::StrCat("write \"", node.text, "\"")};
    return std::nullopt;
  }
  return std::optional<SpecValue>(node.text);
}

std::optional<SpecValue> ReadOther(const SpecField& field, const SpecNode& node,
                                   Complaint* complaint) {
  const auto expected = [&] {
    return absl::StrCat("expected ", DescribeType(field), ", got ", node.Describe());
  };
  switch (field.type) {
    case FieldType::kFlag: {
      if (!node.quoted && node.text == "true") return std::optional<SpecValue>(true);
      if (!node.quoted && node.text == "false") return std::optional<SpecValue>(false);
      const auto flag = LooseFlag(node.text);
      if (flag && !node.quoted) {
        *complaint = {
            absl::StrCat("`", node.text, "` is a flag to some YAML loaders and text to others"),
            absl::StrCat("write ", *flag ? "true" : "false")};
      } else {
        *complaint = {expected(), ""};
      }
      return std::nullopt;
    }
    case FieldType::kChoice:
      for (const std::string& choice : field.choices) {
        if (node.text == choice) return std::optional<SpecValue>(choice);
      }
      *complaint = {expected(), DidYouMean(node.text, field.choices)};
      return std::nullopt;
    case FieldType::kDuration: {
      const auto ms = ParseDurationMs(node.text);
      if (ms.ok() && *ms > 0) return std::optional<SpecValue>(*ms);
      *complaint = {expected(), ""};
      return std::nullopt;
    }
    default:
      return ReadText(node, complaint);
  }
}

void Report(const SpecNode& node, const SpecField& field, const std::string& field_path,
            Complaint complaint, SpecErrorSink* sink) {
  sink->Add(node.place, std::move(complaint.message),
            {std::move(complaint.suggestion), field_path, ExplainHint(field.path)});
}

}  // namespace

std::optional<SpecValue> FieldValueOf(const SpecField& field, const Decimal& value,
                                      const std::string& written, const SpecPlace& place,
                                      const std::string& field_path, SpecErrorSink* sink) {
  const auto refuse = [&](std::string message, std::string suggestion) {
    sink->Add(place, std::move(message),
              {std::move(suggestion), field_path, ExplainHint(field.path)});
    return std::nullopt;
  };
  const double number = value.ToDouble();
  const bool low = field.above_min ? number <= field.min : number < field.min;
  const bool high = field.below_max ? number >= field.max : number > field.max;
  if (low || high || !std::isfinite(number)) {
    return refuse(absl::StrCat(field.path, " is ", written, "; it must be ", DescribeRange(field)),
                  "");
  }
  if (!IsWhole(field.type)) return std::optional<SpecValue>(number);
  const auto whole = value.ToInt();
  if (!whole) {
    return refuse(absl::StrCat(field.path, " is ", written, "; it must be a whole number"),
                  absl::StrCat("write ", std::llround(number)));
  }
  return std::optional<SpecValue>(*whole);
}

std::optional<Decimal> ReadDecimal(const SpecField& field, const SpecNode& node,
                                   const std::string& field_path, SpecErrorSink* sink) {
  if (node.bad) return std::nullopt;
  Complaint complaint;
  if (!node.is_scalar()) {
    complaint.message = absl::StrCat("expected ", DescribeType(field), ", got ", node.Describe());
  } else if (const auto number = ParseNumber(field, node, &complaint)) {
    return number;
  }
  Report(node, field, field_path, std::move(complaint), sink);
  return std::nullopt;
}

std::optional<SpecValue> ReadScalar(const SpecField& field, const SpecNode& node,
                                    const std::string& field_path, SpecErrorSink* sink) {
  if (node.bad) return std::nullopt;
  if (node.is_null()) return std::optional<SpecValue>(std::in_place);
  if (IsNumeric(field.type)) {
    const auto number = ReadDecimal(field, node, field_path, sink);
    if (!number) return std::nullopt;
    return FieldValueOf(field, *number, node.text, node.place, field_path, sink);
  }
  Complaint complaint;
  if (!node.is_scalar()) {
    complaint.message = absl::StrCat("expected ", DescribeType(field), ", got ", node.Describe());
  } else if (auto value = ReadOther(field, node, &complaint)) {
    return value;
  }
  Report(node, field, field_path, std::move(complaint), sink);
  return std::nullopt;
}

const SpecValue& DefaultOf(const SpecField& field) {
  static const auto* const defaults = [] {
    auto* values = new std::vector<std::optional<SpecValue>>;
    for (const SpecField& each : SpecFields()) {
      SpecErrorSink sink;
      SpecNode node;
      node.kind = each.nullable() ? SpecNode::Kind::kNull : SpecNode::Kind::kScalar;
      node.text = each.fallback;
      values->push_back(each.required() ? std::nullopt : ReadScalar(each, node, each.path, &sink));
    }
    return values;
  }();
  const std::optional<SpecValue>& value = (*defaults)[&field - SpecFields().data()];
  LOGLOG_CHECK(value.has_value());
  return *value;
}

bool IsLeftOut(const SpecField& field, const SpecValue& value) {
  return field.added_later && value == DefaultOf(field);
}

}  // namespace loglog
