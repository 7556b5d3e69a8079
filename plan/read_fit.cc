#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "plan/draft.h"
#include "plan/stop_rule.h"
#include "plan/suggest.h"

namespace loglog {
namespace {

struct Form {
  const char* form;
  const char* kind;
  const char* axis;  // "": of N and D together, or along what the sweep varies
  bool along = false;
};

constexpr Form kForms[] = {
    {"B*D^-b", "local_slope", "D"},
    {"A*N^-a", "local_slope", "N"},
    {"G*C^-g", "local_slope", "C"},
    {"E + B*D^-beta", "saturating", "D"},
    {"E + A*N^-alpha", "saturating", "N"},
    {"E + G*C^-gamma", "saturating", "C"},
    {"E + A*N^-alpha + B*D^-beta", "joint", ""},
    {"E + A*N^-beta + B*D^-beta", "equal_exponent", ""},
    {"kaplan", "kaplan", ""},
    {"data_constrained", "data_constrained", ""},
    {"isoflop", "isoflop", "C"},
    {"power", "power", "", true},
    {"broken", "broken", "", true},
};

std::string WithoutBlanks(absl::string_view text) { return absl::StrReplaceAll(text, {{" ", ""}}); }

const Form* FindForm(absl::string_view written) {
  std::string text = WithoutBlanks(written);
  if (absl::StartsWith(text, "L=")) text.erase(0, 2);
  for (const Form& form : kForms) {
    if (WithoutBlanks(form.form) == text) return &form;
  }
  return nullptr;
}

// D, N or C: what the sweep varies; empty when it varies neither tokens nor model.
std::string VariedAxis(const SweepSpec& spec) {
  if (IsSwept(spec, "train.tokens")) return "D";
  const auto is_model = [](const std::string& path) { return absl::StartsWith(path, "model."); };
  for (const AxisSpec& axis : spec.axes) {
    if (is_model(axis.path)) return "N";
  }
  for (const ArmBundle& bundle : spec.bundles) {
    for (const Assignment& assignment : bundle.assignments) {
      if (is_model(assignment.path)) return "N";
    }
  }
  return "";
}

FitRequest RequestOf(const Form& form, const SweepSpec& spec) {
  FitRequest request{.kind = form.kind, .axis = form.axis, .form = form.form};
  if (form.along) {
    request.axis = VariedAxis(spec);
    if (request.axis.empty()) request.axis = "D";
  }
  return request;
}

// Whether stopped trials say something too.
bool ReadCensored(const SpecNode* node, const Form& form, const std::string& at, SpecDraft* draft) {
  if (node == nullptr || node->is_null() || node->bad) return false;
  if (!node->is_scalar() || node->quoted || (node->text != "true" && node->text != "false")) {
    draft->Refuse(node->place, absl::StrCat("censored is true or false, not ", node->Describe()),
                  "write censored: true", at);
    return false;
  }
  if (node->text == "true" && absl::string_view(form.kind) == "isoflop") {
    draft->Refuse(node->place, "the parabolas of isoflop take no censored trials",
                  "leave `censored` out, or ask for the joint form", at);
    return false;
  }
  return node->text == "true";
}

void ReadForm(const SpecNode& form, const SpecNode& entry, const std::string& at,
              SpecDraft* draft) {
  const SpecNode* by = entry.Find("by");
  const Form* known = form.is_scalar() ? FindForm(form.text) : nullptr;
  if (known == nullptr) {
    if (form.bad) return;
    std::vector<std::string> forms;
    for (const Form& candidate : kForms) forms.emplace_back(candidate.form);
    draft->Refuse(form.place, absl::StrCat("no form `", form.text, "` is known"),
                  DidYouMean(form.text, forms), at);
    return;
  }
  if (by != nullptr && !by->is_null() && by->text != "arm") {
    draft->Refuse(by->place, absl::StrCat("fits are made by arm, not by ", by->Describe()),
                  "write by: arm", at);
    return;
  }
  FitRequest request = RequestOf(*known, draft->spec);
  request.censored = ReadCensored(entry.Find("censored"), *known, at, draft);
  draft->spec.fit.push_back(std::move(request));
}

void ReadComparison(const SpecNode& arms, const SpecNode* axis, const std::string& at,
                    SpecDraft* draft) {
  if (!ExpectList(arms, at, draft)) return;
  const bool texts = std::all_of(arms.items.begin(), arms.items.end(),
                                 [](const SpecNode& item) { return item.is_scalar(); });
  if (arms.items.size() != 2 || !texts || arms.items[0].text == arms.items[1].text) {
    draft->Refuse(arms.place, "a comparison takes two different arms", "write [small, large]", at);
    return;
  }
  FitRequest request{.kind = "comparison", .axis = VariedAxis(draft->spec)};
  if (request.axis.empty()) request.axis = "D";
  if (axis != nullptr && !axis->is_null()) {
    const std::vector<std::string> axes = {"D", "N", "C"};
    if (std::find(axes.begin(), axes.end(), axis->text) == axes.end()) {
      draft->Refuse(axis->place,
                    absl::StrCat("an axis of a fit is D, N or C, not ", axis->Describe()),
                    DidYouMean(axis->text, axes), at);
      return;
    }
    request.axis = axis->text;
  }
  for (size_t i = 0; i < 2; ++i) {
    draft->places[absl::StrCat(at, ".compare[", i, "]")] = arms.items[i].place;
  }
  request.arm = arms.items[0].text;
  request.arm_b = arms.items[1].text;
  draft->spec.fit.push_back(std::move(request));
}

void ReadStopRule(const SpecNode& entry, const SpecNode& text, const std::string& at,
                  SpecDraft* draft) {
  for (const SpecNode::Key& key : entry.keys) {
    if (key.text == "stop_when") continue;
    draft->Refuse(key.place, absl::StrCat("`", key.text, "` does not go with `stop_when`"),
                  "write fit: [{form: ...}, {stop_when: ...}]", at);
    return;
  }
  if (text.bad) return;
  std::string suggestion;
  const absl::StatusOr<StopRule> rule =
      ParseStopRule(text.is_scalar() ? absl::string_view(text.text) : "", &suggestion);
  if (!rule.ok()) {
    draft->Refuse(text.place, std::string(rule.status().message()), suggestion, at);
    return;
  }
  draft->places[kStopRuleKind] = text.place;
  draft->spec.fit.push_back({.kind = kStopRuleKind, .form = StopRuleText(*rule)});
}

void ReadEntry(const SpecNode& entry, const std::string& at, SpecDraft* draft) {
  if (!ExpectMap(entry, at, draft)) return;
  if (const SpecNode* rule = entry.Find("stop_when"); rule != nullptr) {
    ReadStopRule(entry, *rule, at, draft);
    return;
  }
  const SpecNode* form = entry.Find("form");
  const SpecNode* compare = entry.Find("compare");
  if ((form == nullptr) == (compare == nullptr)) {
    draft->Refuse(entry.place, "a fit has either a form or a compare",
                  "write {form: \"E + B*D^-beta\", by: arm} or {compare: [a, b]}", at);
    return;
  }
  const std::vector<std::string> allowed = form != nullptr
                                               ? std::vector<std::string>{"form", "by", "censored"}
                                               : std::vector<std::string>{"compare", "axis"};
  for (const SpecNode::Key& key : entry.keys) {
    if (std::find(allowed.begin(), allowed.end(), key.text) != allowed.end()) continue;
    std::string fix = DidYouMean(key.text, allowed);
    if (fix.empty()) fix = absl::StrCat("keys here: ", absl::StrJoin(allowed, ", "));
    draft->Refuse(key.place, absl::StrCat("unknown key `", key.text, "`"), std::move(fix), at);
    return;
  }
  if (form != nullptr) {
    ReadForm(*form, entry, at, draft);
  } else {
    ReadComparison(*compare, entry.Find("axis"), at, draft);
  }
}

bool IsRule(const FitRequest& request) { return request.kind == kStopRuleKind; }

// There is one at most, it stands last, and what it speaks of is fitted.
void CheckStopRule(SpecDraft* draft) {
  std::vector<FitRequest>& fit = draft->spec.fit;
  std::stable_partition(fit.begin(), fit.end(), [](const FitRequest& f) { return !IsRule(f); });
  const auto rules = std::count_if(fit.begin(), fit.end(), IsRule);
  if (rules == 0) return;
  const SpecPlace place = draft->places[kStopRuleKind];
  if (rules > 1) {
    draft->Refuse(place, "a sweep has one `stop_when`", "leave the others out", "fit");
    return;
  }
  const bool compared = std::any_of(fit.begin(), fit.end(),
                                    [](const FitRequest& f) { return f.kind == "comparison"; });
  if (absl::StrContains(fit.back().form, "slope_difference") && !compared) {
    draft->Refuse(place, "no comparison is asked for whose slope_difference could be waited for",
                  "add {compare: [a, b]} to fit", "fit");
  }
}

}  // namespace

void ReadFit(const SpecNode* fit, SpecDraft* draft) {
  if (fit != nullptr && fit->Find("stop_when") != nullptr) {
    ReadEntry(*fit, "fit", draft);
  } else if (fit != nullptr && !fit->is_null() && ExpectList(*fit, "fit", draft)) {
    for (size_t i = 0; i < fit->items.size(); ++i) {
      ReadEntry(fit->items[i], absl::StrCat("fit[", i, "]"), draft);
    }
  }
  const bool none = std::all_of(draft->spec.fit.begin(), draft->spec.fit.end(), IsRule);
  const std::string axis = VariedAxis(draft->spec);
  for (const Form& form : kForms) {
    if (none && !axis.empty() && form.axis == axis) {
      draft->spec.fit.push_back(RequestOf(form, draft->spec));
    }
  }
  CheckStopRule(draft);
}

}  // namespace loglog
