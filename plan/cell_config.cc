#include "plan/cell_config.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "nlohmann/json.hpp"
#include "plan/fields.h"
#include "plan/json_frame.h"

namespace loglog {
namespace {

absl::StatusOr<SpecValue> FromJson(const SpecField& field, const nlohmann::json& json) {
  if (json.is_null() && field.nullable()) return SpecValue();
  if (json.is_number() && !(json.get<double>() >= field.min && json.get<double>() <= field.max)) {
    return absl::InvalidArgumentError(absl::StrCat("configuration field ", field.path, " is ",
                                                   json.dump(), "; it must be ",
                                                   DescribeRange(field)));
  }
  switch (field.type) {
    case FieldType::kInteger:
    case FieldType::kCount:
      if (json.is_number_integer()) return SpecValue(json.get<int64_t>());
      break;
    case FieldType::kNumber:
    case FieldType::kShare:
      if (json.is_number()) return SpecValue(json.get<double>());
      break;
    case FieldType::kFlag:
      if (json.is_boolean()) return SpecValue(json.get<bool>());
      break;
    default:
      if (json.is_string()) return SpecValue(json.get<std::string>());
  }
  return absl::InvalidArgumentError(absl::StrCat("configuration field ", field.path, " is ",
                                                 json.dump(), "; expected ", DescribeType(field)));
}

absl::Status ReadObject(const nlohmann::json& object, const std::string& prefix, CellConfig* config,
                        std::vector<bool>* found) {
  for (const auto& [key, json] : object.items()) {
    const std::string path = prefix.empty() ? key : absl::StrCat(prefix, ".", key);
    const int index = CellFieldIndex(path);
    if (index >= 0) {
      auto value = FromJson(*FindField(path), json);
      if (!value.ok()) return value.status();
      config->at(index) = *std::move(value);
      (*found)[static_cast<size_t>(index)] = true;
    } else if (json.is_object() && FindSection(path) != nullptr) {
      if (absl::Status status = ReadObject(json, path, config, found); !status.ok()) return status;
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("the configuration has a field ", path, " that this version does not know"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

const std::vector<const SpecField*>& CellFields() {
  static const auto* const fields = [] {
    auto* sorted = new std::vector<const SpecField*>;
    for (const SpecField& field : SpecFields()) {
      if (field.in_cell) sorted->push_back(&field);
    }
    std::sort(sorted->begin(), sorted->end(),
              [](const SpecField* a, const SpecField* b) { return a->path < b->path; });
    return sorted;
  }();
  return *fields;
}

bool IsOfDrawing(absl::string_view path) {
  return absl::StartsWith(path, "init.") && !absl::StartsWith(path, "init.weights.");
}

int CellFieldIndex(absl::string_view path) {
  static const auto* const index = [] {
    auto* map = new absl::flat_hash_map<std::string, int>;
    for (size_t i = 0; i < CellFields().size(); ++i) {
      map->emplace(CellFields()[i]->path, static_cast<int>(i));
    }
    return map;
  }();
  const auto it = index->find(path);
  return it == index->end() ? -1 : it->second;
}

CellConfig::CellConfig() : values_(CellFields().size()) {}

const SpecValue& CellConfig::Get(absl::string_view path) const {
  const int index = CellFieldIndex(path);
  LOGLOG_CHECK(index >= 0);
  return values_[index];
}

void CellConfig::Set(absl::string_view path, SpecValue value) {
  const int index = CellFieldIndex(path);
  LOGLOG_CHECK(index >= 0);
  values_[index] = std::move(value);
}

int64_t CellConfig::Int(absl::string_view path) const {
  const int64_t* value = std::get_if<int64_t>(&Get(path));
  LOGLOG_CHECK(value != nullptr);
  return *value;
}

double CellConfig::Number(absl::string_view path) const {
  const SpecValue& value = Get(path);
  if (const int64_t* integer = std::get_if<int64_t>(&value)) return static_cast<double>(*integer);
  const double* number = std::get_if<double>(&value);
  LOGLOG_CHECK(number != nullptr);
  return *number;
}

std::string CellConfig::Text(absl::string_view path) const {
  const std::string* text = std::get_if<std::string>(&Get(path));
  LOGLOG_CHECK(text != nullptr);
  return *text;
}

bool CellConfig::IsNull(absl::string_view path) const {
  return std::holds_alternative<std::monostate>(Get(path));
}

ModelShape CellConfig::model() const {
  static const int kLayers = CellFieldIndex("model.layers");
  static const int kDModel = CellFieldIndex("model.d_model");
  static const int kHeads = CellFieldIndex("model.heads");
  static const int kKvHeads = CellFieldIndex("model.kv_heads");
  static const int kDFf = CellFieldIndex("model.d_ff");
  static const int kVocab = CellFieldIndex("model.vocab");
  static const int kSeqLen = CellFieldIndex("model.seq_len");
  static const int kTied = CellFieldIndex("model.tied_head");
  static const int kHeadDim = CellFieldIndex("model.head_dim");
  const auto integer = [&](int index) { return std::get<int64_t>(values_[index]); };
  // A named shape by itself says nothing of the options.
  const auto word = [&](const char* path, const char* fallback) {
    return IsNull(path) ? fallback : Text(path);
  };
  const auto flag = [&](const char* path) {
    const bool* value = std::get_if<bool>(&Get(path));
    return value != nullptr && *value;
  };
  const int64_t* head_dim = std::get_if<int64_t>(&values_[kHeadDim]);
  return {.layers = integer(kLayers),
          .d_model = integer(kDModel),
          .heads = integer(kHeads),
          .kv_heads = integer(kKvHeads),
          .d_ff = integer(kDFf),
          .vocab = integer(kVocab),
          .seq_len = integer(kSeqLen),
          .tied_head = std::get<bool>(values_[kTied]),
          .head_dim_given = head_dim == nullptr ? 0 : *head_dim,
          .norm = word("model.norm", "rms"),
          .mlp = word("model.mlp", "swiglu"),
          .post_norm = word("model.norm_place", "pre") == "post",
          .learned_positions = word("model.positions", "rope") == "learned",
          .embed_norm = flag("model.embed_norm"),
          .sandwich_norm = flag("model.sandwich_norm"),
          .qk_norm = flag("model.qk_norm"),
          .gated_attention = flag("model.gated_attention"),
          .biases = flag("model.biases"),
          .head_bias = flag("model.head_bias")};
}

std::string CellConfig::CanonicalJson() const {
  std::string out;
  out.reserve(1400);
  NestedJson json(&out);
  const bool reads_weights = this->reads_weights();
  for (size_t i = 0; i < values_.size(); ++i) {
    const SpecField& field = *CellFields()[i];
    if (IsLeftOut(field, values_[i]) || (reads_weights && IsOfDrawing(field.path))) continue;
    json.Add(field.path, CanonicalText(values_[i]));
  }
  json.Finish();
  return out;
}

absl::StatusOr<CellConfig> ParseCellConfig(absl::string_view config_json) {
  const nlohmann::json json =
      nlohmann::json::parse(config_json.begin(), config_json.end(), nullptr, false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError("the configuration is not a JSON object");
  }
  CellConfig config;
  std::vector<bool> found(CellFields().size());
  if (absl::Status status = ReadObject(json, "", &config, &found); !status.ok()) return status;
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i]) continue;
    const SpecField& field = *CellFields()[i];
    if (!field.added_later && !(config.reads_weights() && IsOfDrawing(field.path))) {
      return absl::InvalidArgumentError(
          absl::StrCat("the configuration lacks the field ", field.path));
    }
    config.at(static_cast<int>(i)) = DefaultOf(field);
  }
  return config;
}

}  // namespace loglog
