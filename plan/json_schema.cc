#include <string>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "plan/draft.h"
#include "plan/explain.h"
#include "plan/fields.h"

namespace loglog {
namespace {

using Json = nlohmann::ordered_json;

Json Numeric(const SpecField& field, const char* type) {
  Json json = {{"type", type}};
  json[field.above_min ? "exclusiveMinimum" : "minimum"] = field.min;
  json[field.below_max ? "exclusiveMaximum" : "maximum"] = field.max;
  return json;
}

Json Either(Json a, Json b) { return {{"anyOf", Json::array({std::move(a), std::move(b)})}}; }

// The plain type, without description or null.
Json TypeOf(const SpecField& field) {
  switch (field.type) {
    case FieldType::kInteger:
      return Numeric(field, "integer");
    case FieldType::kCount:
      return Either(
          Numeric(field, "number"),
          {{"type", "string"}, {"pattern", "^[0-9]+(\\.[0-9]+)?([kMBT]|[eE]\\+?[0-9]+)$"}});
    case FieldType::kNumber:
      return Numeric(field, "number");
    case FieldType::kShare:
      return Either(Numeric(field, "number"),
                    {{"type", "string"}, {"pattern", "^[0-9]+(\\.[0-9]+)?%$"}});
    case FieldType::kFlag:
      return {{"type", "boolean"}};
    case FieldType::kChoice:
      return {{"enum", field.choices}};
    case FieldType::kText:
      return {{"type", "string"}};
    case FieldType::kDuration:
      return {{"type", "string"}, {"pattern", "^[0-9]+(\\.[0-9]+)?(ms|s|m|h)$"}};
  }
  return {};
}

Json FieldSchema(const SpecField& field) {
  Json json = TypeOf(field);
  // null is "not written" for every field of a cell.
  if (field.in_cell || field.nullable()) json = Either(std::move(json), {{"type", "null"}});
  json["description"] = field.doc;
  if (!field.required() && !field.nullable())
    json["default"] = Json::parse(CanonicalText(DefaultOf(field)));
  return json;
}

Json Object() { return {{"type", "object"}, {"additionalProperties", false}}; }

Json SectionSchema(const std::string& path) {
  Json json = Object();
  if (const SpecSection* section = FindSection(path)) json["description"] = section->doc;
  for (const std::string& child : ChildrenOf(path)) {
    const std::string full = path.empty() ? child : absl::StrCat(path, ".", child);
    const SpecSection* section = FindSection(full);
    if (section != nullptr && section->structured) continue;
    json["properties"][child] =
        section != nullptr ? SectionSchema(full) : FieldSchema(*FindField(full));
  }
  return json;
}

Json ListOf(Json item) { return {{"type", "array"}, {"items", std::move(item)}}; }

Json Scalar() { return {{"type", Json::array({"string", "number", "boolean", "null"})}}; }

Json ConditionSchema() {
  Json json = {{"type", "object"}, {"minProperties", 1}};
  json["additionalProperties"] = Either(Scalar(), ListOf(Scalar()));
  return json;
}

Json AxesSchema() {
  Json axis = Object();
  axis["properties"]["path"] = {{"enum", SweepablePaths()}};
  axis["properties"]["values"] = ListOf(Scalar());
  axis["properties"]["values"]["minItems"] = 1;
  const Json number = {{"type", Json::array({"number", "string"})}};
  for (const char* key : {"range", "logrange"}) {
    axis["properties"][key] = ListOf(number);
    axis["properties"][key]["minItems"] = 3;
    axis["properties"][key]["maxItems"] = 3;
  }
  axis["properties"]["when"] = Either(ConditionSchema(), {{"type", "null"}});
  Json json = {{"type", "object"}, {"description", FindSection("axes")->doc}};
  json["propertyNames"] = {{"pattern", "^[A-Za-z][A-Za-z0-9_]{0,31}$"}};
  json["additionalProperties"] = std::move(axis);
  return json;
}

Json ArmsSchema() {
  Json bundle = {{"type", "object"}};
  bundle["additionalProperties"] = Scalar();
  std::vector<std::string> paths;
  for (const std::string& path : SweepablePaths()) {
    if (path != "seed") paths.push_back(path);
  }
  bundle["propertyNames"] = {{"enum", paths}};
  Json bundles = {{"type", "object"}, {"additionalProperties", std::move(bundle)}};
  Json json = Either(ListOf({{"type", "string"}}), std::move(bundles));
  json["description"] = FindSection("arms")->doc;
  return json;
}

Json SelectorSchema() {
  Json json = {{"type", "object"}, {"description", FindSection("schedule.selector")->doc}};
  json["additionalProperties"] = {{"type", Json::array({"string", "number", "boolean"})}};
  return json;
}

Json FitSchema() {
  Json form = Object();
  form["properties"]["form"] = {{"type", "string"}};
  form["properties"]["by"] = {{"enum", {"arm"}}};
  form["properties"]["censored"] = {{"type", "boolean"}};
  form["required"] = {"form"};
  Json compare = Object();
  compare["properties"]["compare"] = ListOf({{"type", "string"}});
  compare["properties"]["axis"] = {{"enum", {"D", "N", "C"}}};
  compare["required"] = {"compare"};
  Json rule = Object();
  rule["properties"]["stop_when"] = {{"type", "string"}};
  rule["required"] = {"stop_when"};
  Json entry = Either(std::move(form), Either(std::move(compare), rule));
  Json json = Either(ListOf(std::move(entry)), std::move(rule));
  json["description"] = FindSection("fit")->doc;
  return json;
}

}  // namespace

std::string JsonSchema() {
  Json json = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
               {"title", "Loglog sweep, loglog/v1"}};
  json.update(SectionSchema(""));
  json["required"] = {"apiVersion", "name"};
  Json& properties = json["properties"];
  properties["axes"] = AxesSchema();
  properties["arms"] = ArmsSchema();
  properties["exclude"] = ListOf(ConditionSchema());
  properties["exclude"]["description"] = FindSection("exclude")->doc;
  properties["order"] = ListOf({{"type", "string"}});
  properties["order"]["description"] = FindSection("order")->doc;
  properties["fit"] = FitSchema();
  properties["schedule"]["properties"]["selector"] = SelectorSchema();
  return json.dump(2) + "\n";
}

}  // namespace loglog
