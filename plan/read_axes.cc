#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/limits.h"
#include "plan/draft.h"
#include "plan/scalar.h"
#include "plan/suggest.h"

namespace loglog {
namespace {

const std::vector<std::string>& AxisKeys() {
  static const auto* const keys =
      new std::vector<std::string>{"path", "values", "range", "logrange", "when"};
  return *keys;
}

bool IsNumericField(const SpecField& field) {
  return field.type == FieldType::kInteger || field.type == FieldType::kCount ||
         field.type == FieldType::kNumber || field.type == FieldType::kShare;
}

struct AxisReader {
  const std::string& name;
  const std::string at;  // "axes.gamma"
  const SpecNode& node;
  const SpecField& field;
  const bool has_unknown_key;
  SpecDraft* draft;

  std::optional<std::vector<SpecValue>> Values() const {
    const SpecNode* given = nullptr;
    std::string kind;
    for (const char* key : {"values", "range", "logrange"}) {
      const SpecNode* found = node.Find(key);
      if (found == nullptr || found->is_null()) continue;
      if (given != nullptr) {
        draft->Refuse(found->place, absl::StrCat("axis `", name, "` has both ", kind, " and ", key),
                      "keep one", at);
        return std::nullopt;
      }
      given = found;
      kind = key;
    }
    if (given == nullptr) {
      // A key that is nearly `values` was reported.
      if (has_unknown_key) return std::nullopt;
      draft->Refuse(draft->PlaceOf(at), absl::StrCat("axis `", name, "` has no values"),
                    "write values: [...], range: [start, stop, step] or logrange", at);
      return std::nullopt;
    }
    if (!ExpectList(*given, absl::StrCat(at, ".", kind), draft)) return std::nullopt;
    draft->places[absl::StrCat(at, ".values")] = given->place;
    if (kind == "values") return Listed(*given);
    return kind == "range" ? Range(*given) : LogRange(*given);
  }

  std::optional<std::vector<SpecValue>> Listed(const SpecNode& list) const {
    if (list.items.empty()) {
      draft->Refuse(list.place, absl::StrCat("axis `", name, "` has no values"),
                    "remove the axis or write a value", at);
      return std::nullopt;
    }
    if (list.items.size() > limits::kAxisValuesMax) return TooMany(list);
    std::vector<SpecValue> values;
    absl::flat_hash_set<std::string> seen;
    bool good = true;
    for (size_t i = 0; i < list.items.size() && !draft->sink->full(); ++i) {
      const SpecNode& item = list.items[i];
      const std::string path = absl::StrCat(at, ".values[", i, "]");
      draft->places[path] = item.place;
      auto value = ReadPathValue(field, item, path, draft);
      good = good && value.has_value();
      if (!value) continue;
      if (item.is_null() && !field.nullable()) {
        draft->Refuse(item.place, absl::StrCat(field.path, " cannot be null"), "", path);
        good = false;
      } else if (!seen.insert(CanonicalText(*value)).second) {
        draft->Refuse(item.place,
                      absl::StrCat("axis `", name, "` has ", DisplayText(*value), " twice"),
                      "remove one", path);
        good = false;
      }
      values.push_back(*std::move(value));
    }
    if (!good) return std::nullopt;
    return values;
  }

  std::optional<std::vector<SpecValue>> TooMany(const SpecNode& list) const {
    draft->Refuse(
        list.place,
        absl::StrCat("axis `", name, "` has more than ", limits::kAxisValuesMax, " values"),
        "list fewer, or split the sweep", at);
    return std::nullopt;
  }

  // The three numbers of a range, the last one by its own rules when `count` is set.
  std::optional<std::vector<Decimal>> Three(const SpecNode& list, const std::string& kind,
                                            const std::string& form) const {
    if (!IsNumericField(field)) {
      draft->Refuse(
          list.place,
          absl::StrCat(field.path, " takes ", DescribeType(field), ", so it has no ", kind),
          "write values: [...]", at);
      return std::nullopt;
    }
    if (list.items.size() != 3) {
      draft->Refuse(list.place, absl::StrCat(kind, " takes 3 numbers, got ", list.items.size()),
                    absl::StrCat("write ", kind, ": ", form), at);
      return std::nullopt;
    }
    SpecField plain = field;
    if (plain.type == FieldType::kInteger) plain.type = FieldType::kCount;
    SpecField whole = plain;
    whole.type = FieldType::kInteger;
    std::vector<Decimal> numbers;
    for (size_t i = 0; i < 3; ++i) {
      const bool count = kind == "logrange" && i == 2;
      const auto number = ReadDecimal(count ? whole : plain, list.items[i],
                                      absl::StrCat(at, ".", kind, "[", i, "]"), draft->sink);
      if (!number) return std::nullopt;
      numbers.push_back(*number);
    }
    return numbers;
  }

  std::optional<std::vector<SpecValue>> Checked(const std::vector<Decimal>& numbers,
                                                const SpecNode& list) const {
    std::vector<SpecValue> values;
    for (const Decimal& number : numbers) {
      auto value = FieldValueOf(field, number, number.ToText(), list.place, at, draft->sink);
      if (!value) return std::nullopt;
      values.push_back(*std::move(value));
    }
    return values;
  }

  std::optional<std::vector<SpecValue>> Range(const SpecNode& list) const {
    const auto numbers = Three(list, "range", "[start, stop, step]");
    if (!numbers) return std::nullopt;
    const auto values =
        DecimalRange((*numbers)[0], (*numbers)[1], (*numbers)[2], limits::kAxisValuesMax);
    if (!values) {
      const std::string step = (*numbers)[2].ToText();
      draft->Refuse(
          list.place,
          absl::StrCat("steps of ", step, " do not lead from ", (*numbers)[0].ToText(), " to ",
                       (*numbers)[1].ToText(), " in at most ", limits::kAxisValuesMax, " values"),
          "range is [start, stop, step]", at);
      return std::nullopt;
    }
    return Checked(*values, list);
  }

  // A multiple that the values in between are rounded to; 0: none.
  int64_t Grain() const {
    if (field.path == "train.tokens") {
      const auto it = draft->values.find("train.batch_tokens");
      return it == draft->values.end() ? 1 : std::get<int64_t>(it->second);
    }
    return field.type == FieldType::kInteger || field.type == FieldType::kCount ? 1 : 0;
  }

  std::optional<std::vector<SpecValue>> LogRange(const SpecNode& list) const {
    const auto numbers = Three(list, "logrange", "[start, stop, count]");
    if (!numbers) return std::nullopt;
    const double start = (*numbers)[0].ToDouble(), stop = (*numbers)[1].ToDouble();
    const auto count = (*numbers)[2].ToInt();
    if (start <= 0 || stop <= 0) {
      draft->Refuse(list.place, "logrange needs a start and a stop above 0", "", at);
      return std::nullopt;
    }
    if (!count || *count < 2 || *count > limits::kAxisValuesMax) {
      draft->Refuse(list.items[2].place,
                    absl::StrCat("the count of a logrange is a whole number from 2 to ",
                                 limits::kAxisValuesMax),
                    "", at);
      return std::nullopt;
    }
    std::vector<Decimal> values;
    for (int64_t i = 0; i < *count; ++i) {
      if (i == 0 || i == *count - 1) {
        values.push_back((*numbers)[i == 0 ? 0 : 1]);
        continue;
      }
      const double share = static_cast<double>(i) / static_cast<double>(*count - 1);
      const double exact = std::exp(std::log(start) + share * (std::log(stop) - std::log(start)));
      if (const int64_t grain = Grain(); grain > 0) {
        const double grains = std::max(1.0, std::round(exact / static_cast<double>(grain)));
        constexpr double kWholeMax = 9e18;
        if (!(grains * static_cast<double>(grain) < kWholeMax)) {
          draft->Refuse(
              list.place,
              absl::StrFormat("this logrange reaches %.3g, more than a whole number holds", exact),
              "end it lower", at);
          return std::nullopt;
        }
        values.push_back({static_cast<int64_t>(grains) * grain, 0});
      } else {
        values.push_back(ParseDecimal(absl::StrFormat("%.5e", exact)).value_or(Decimal{}));
      }
    }
    auto checked = Checked(values, list);
    if (checked) {
      for (size_t i = 0; i + 1 < checked->size(); ++i) {
        if ((*checked)[i] != (*checked)[i + 1]) continue;
        draft->Refuse(
            list.place,
            absl::StrCat("rounded, this logrange has ", DisplayText((*checked)[i]), " twice"),
            "ask for fewer values", at);
        return std::nullopt;
      }
    }
    return checked;
  }
};

bool IsAxisName(const std::string& name) {
  if (name.empty() || name.size() > limits::kAxisNameBytesMax || !absl::ascii_isalpha(name[0]))
    return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

bool CheckName(const SpecNode::Key& key, SpecDraft* draft) {
  const std::string at = absl::StrCat("axes.", key.text);
  if (!IsAxisName(key.text)) {
    draft->Refuse(key.place,
                  absl::StrCat("an axis name is a letter, then letters, digits and _, at most ",
                               limits::kAxisNameBytesMax),
                  "", at);
    return false;
  }
  if (key.text == "arm" || key.text == "cost") {
    draft->Refuse(key.place,
                  absl::StrCat("`", key.text, "` is a word of `order` and cannot name an axis"),
                  "choose another name", at);
    return false;
  }
  return true;
}

// The axis's field, with its path noted in `axis`; nullptr after an error.
const SpecField* ReadAxisPath(const SpecNode& node, const SpecPlace& key_place, AxisSpec* axis,
                              SpecDraft* draft) {
  const std::string at = absl::StrCat("axes.", axis->name);
  const SpecNode* path = node.Find("path");
  if (path != nullptr && path->bad) return nullptr;
  const bool seed_axis = axis->name == "seed";
  if (path == nullptr || path->is_null()) {
    if (seed_axis) {
      axis->path = "seed";
      return &SeedField();
    }
    draft->Refuse(key_place, absl::StrCat("axis `", axis->name, "` has no path"),
                  "write path: train.tokens or another field", at);
    return nullptr;
  }
  if (!path->is_scalar()) {
    draft->Refuse(path->place, absl::StrCat("a path is text, got ", path->Describe()), "", at);
    return nullptr;
  }
  axis->path = path->text;
  draft->places[absl::StrCat(at, ".path")] = path->place;
  if (seed_axis != (axis->path == "seed")) {
    draft->Refuse(path->place,
                  seed_axis
                      ? absl::StrCat("the axis called seed has path seed, not `", axis->path, "`")
                      : "the axis over seeds must be called seed",
                  seed_axis ? "write path: seed" : "rename the axis", at);
    return nullptr;
  }
  if (seed_axis) return &SeedField();
  const SpecPlace text = path->quoted ? path->place.Part(1, path->text.size()) : path->place;
  const SpecField* field = ResolvePath(path->text, text, absl::StrCat(at, ".path"), draft);
  if (field == nullptr) return nullptr;
  for (const AxisSpec& other : draft->spec.axes) {
    if (other.path != axis->path) continue;
    draft->Refuse(
        path->place,
        absl::StrCat("axes `", other.name, "` and `", axis->name, "` both set ", axis->path),
        "keep one", at);
    return nullptr;
  }
  return field;
}

}  // namespace

void ReadAxes(const SpecNode& axes, SpecDraft* draft) {
  if (axes.is_null() || !ExpectMap(axes, "axes", draft)) return;
  if (axes.keys.size() > limits::kAxesMax) {
    draft->Refuse(axes.keys[limits::kAxesMax].place,
                  absl::StrCat("more than ", limits::kAxesMax, " axes"),
                  "set what stands still in its section, or split the sweep", "axes");
    return;
  }
  for (size_t i = 0; i < axes.keys.size(); ++i) {
    const SpecNode::Key& key = axes.keys[i];
    const std::string at = absl::StrCat("axes.", key.text);
    draft->places[at] = key.place;
    if (!CheckName(key, draft)) continue;
    if (!ExpectMap(axes.items[i], at, draft)) {
      // Kept by name, so that what refers to the axis is not reported as well.
      draft->spec.axes.push_back({.name = key.text});
      continue;
    }
    bool has_unknown_key = false;
    for (const SpecNode::Key& part : axes.items[i].keys) {
      if (std::find(AxisKeys().begin(), AxisKeys().end(), part.text) != AxisKeys().end()) continue;
      has_unknown_key = true;
      draft->Refuse(part.place, absl::StrCat("unknown key `", part.text, "`"),
                    DidYouMean(part.text, AxisKeys()), at);
    }
    AxisSpec axis{.name = key.text};
    const SpecField* field = ReadAxisPath(axes.items[i], key.place, &axis, draft);
    if (field == nullptr) {
      draft->spec.axes.push_back(std::move(axis));
      continue;
    }
    const AxisReader reader{key.text, at, axes.items[i], *field, has_unknown_key, draft};
    if (auto values = reader.Values()) axis.values = *std::move(values);
    draft->spec.axes.push_back(std::move(axis));
  }
  std::sort(draft->spec.axes.begin(), draft->spec.axes.end(),
            [](const AxisSpec& a, const AxisSpec& b) { return a.name < b.name; });
}

}  // namespace loglog
