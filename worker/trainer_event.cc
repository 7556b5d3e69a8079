#include "worker/trainer_event.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "base/json_depth.h"
#include "base/limits.h"

namespace loglog::worker {
namespace {

using Json = nlohmann::json;

class MalformedLine : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

const Json& Field(const Json& line, const char* name) {
  const auto found = line.find(name);
  if (found == line.end()) throw MalformedLine(std::string("no field '") + name + "'");
  return *found;
}

// The library converts 1.5 to 1 without a word, so types are checked here.
int64_t IntegerField(const Json& line, const char* name) {
  const Json& field = Field(line, name);
  if (!field.is_number_integer()) {
    throw MalformedLine(std::string("field '") + name + "' is not an integer");
  }
  // What does not fit would wrap around.
  if (field.is_number_unsigned() &&
      field.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
    throw MalformedLine(std::string("field '") + name + "' is out of range");
  }
  return field.get<int64_t>();
}

int MemberField(const Json& line) {
  const int64_t member = IntegerField(line, "member");
  if (member < 0 || member > std::numeric_limits<int>::max()) {
    throw MalformedLine("field 'member' is out of range");
  }
  return static_cast<int>(member);
}

std::string StringField(const Json& line, const char* name) {
  const Json& field = Field(line, name);
  if (!field.is_string()) throw MalformedLine(std::string("field '") + name + "' is not a string");
  return field.get<std::string>();
}

// JSON has no word for them, so numbers that are not finite travel as strings.
double Number(const Json& value, const std::string& name) {
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
    if (text == "inf") return std::numeric_limits<double>::infinity();
    if (text == "-inf") return -std::numeric_limits<double>::infinity();
  }
  throw MalformedLine("'" + name + "' is not a number");
}

AttemptStartedLine ParseStart(const Json& line) {
  AttemptStartedLine start;
  start.resume_step = IntegerField(line, "resume_step");
  start.total_steps = IntegerField(line, "total_steps");
  start.trainer_version = StringField(line, "trainer_version");
  start.data_sha256 = StringField(line, "data_sha256");
  start.params_total = IntegerField(line, "params_total");
  start.params_non_embedding = IntegerField(line, "params_non_embedding");
  start.flops_per_token = Number(Field(line, "flops_per_token"), "flops_per_token");
  return start;
}

MetricRowLine ParseRow(const Json& line, NameTable* names) {
  MetricRowLine row;
  row.member = MemberField(line);
  row.step = IntegerField(line, "step");
  row.tokens = IntegerField(line, "tokens");
  const Json& values = Field(line, "values");
  if (!values.is_object()) throw MalformedLine("field 'values' is not an object");
  row.values.reserve(values.size());
  row.names.reserve(values.size());
  for (const auto& [name, value] : values.items()) {
    row.values.push_back(Number(value, name));
    row.names.push_back(names->Index(name));
  }
  return row;
}

CheckpointLine ParseCheckpoint(const Json& line) {
  CheckpointLine checkpoint;
  checkpoint.step = IntegerField(line, "step");
  checkpoint.path = StringField(line, "path");
  checkpoint.sha256 = StringField(line, "sha256");
  checkpoint.bytes = IntegerField(line, "bytes");
  return checkpoint;
}

MemberEndedLine ParseEnd(const Json& line) {
  MemberEndedLine end;
  end.member = MemberField(line);
  const std::string outcome = StringField(line, "outcome");
  if (outcome != "done" && outcome != "diverged") {
    throw MalformedLine("outcome '" + outcome + "' is neither done nor diverged");
  }
  end.diverged = outcome == "diverged";
  end.step = IntegerField(line, "step");
  end.tokens = IntegerField(line, "tokens");
  const auto loss = line.find("final_loss");
  end.final_loss = loss == line.end() || loss->is_null() ? std::numeric_limits<double>::quiet_NaN()
                                                         : Number(*loss, "final_loss");
  const auto summary = line.find("summary");
  if (summary != line.end()) end.summary_json = summary->dump();
  return end;
}

NoticeLine ParseNotice(const Json& line) {
  NoticeLine notice;
  notice.kind = StringField(line, "kind");
  notice.step = IntegerField(line, "step");
  const auto detail = line.find("detail");
  if (detail != line.end()) notice.detail_json = detail->dump();
  return notice;
}

}  // namespace

uint32_t NameTable::Index(const std::string& name) {
  const auto [it, added] = index_.emplace(name, static_cast<uint32_t>(names_.size()));
  if (added) names_.push_back(name);
  return it->second;
}

TrainerEvent ParseTrainerEvent(absl::string_view text, NameTable* names, std::string* problem) {
  problem->clear();
  try {
    if (JsonDepth(text) > limits::kJsonDepthMax) throw MalformedLine("it is nested too deeply");
    const Json line = Json::parse(text.begin(), text.end());
    if (!line.is_object()) throw MalformedLine("not an object");
    const std::string kind = StringField(line, "e");
    if (kind == "row") return ParseRow(line, names);
    if (kind == "start") return ParseStart(line);
    if (kind == "checkpoint") return ParseCheckpoint(line);
    if (kind == "end") return ParseEnd(line);
    if (kind == "notice") return ParseNotice(line);
  } catch (const MalformedLine& e) {
    *problem = e.what();
  } catch (const Json::exception& e) {
    *problem = e.what();
  }
  return IgnoredLine();
}

}  // namespace loglog::worker
