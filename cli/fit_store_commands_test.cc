#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "cli/fit_export.h"
#include "cli/store_testing.h"
#include "fitting/fitter.h"
#include "fitting/trials_testing.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "store/store.h"

namespace loglog::cli {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Arms "a" and "b_50%" of one sweep, as a store gives them.
std::vector<ObservationRow> Trials() {
  std::vector<ObservationRow> rows = TrialsOf({"a", "b_50%"});
  rows.back().state = TrialState::kStopped;
  return rows;
}

std::vector<FitRow> Fits() {
  const std::vector<ObservationRow> trials = Trials();
  const FitPlan plan;
  Fitter fitter(trials, plan);
  std::vector<FitRow> fits;
  for (const char* kind : {"local_slope", "saturating", "joint", "comparison"}) {
    const bool two = std::string(kind) == "comparison";
    fits.push_back(*fitter.Compute({kind, Axis::kTokens, two ? "a" : "b_50%", two ? "b_50%" : ""}));
    fits.back().number = static_cast<int64_t>(fits.size());
  }
  return fits;
}

// The part of JSON Schema that docs/fit.schema.json uses.
void CheckSchema(const json& schema, const json& root, const json& value, const std::string& at) {
  if (schema.contains("$ref")) {
    const std::string ref = schema["$ref"];
    return CheckSchema(root.at(json::json_pointer(ref.substr(1))), root, value, at);
  }
  if (schema.contains("anyOf")) {
    EXPECT_TRUE(value.is_number() || value == "nan" || value == "inf" || value == "-inf") << at;
    return;
  }
  if (schema.contains("enum")) {
    EXPECT_THAT(schema["enum"], testing::Contains(value)) << at;
    return;
  }
  const std::string type = schema.at("type");
  EXPECT_TRUE(type == "object"    ? value.is_object()
              : type == "array"   ? value.is_array()
              : type == "string"  ? value.is_string()
              : type == "boolean" ? value.is_boolean()
              : type == "integer" ? value.is_number_integer()
                                  : value.is_number())
      << at << ": " << value;
  if (type == "array") {
    for (const json& item : value) CheckSchema(schema.at("items"), root, item, at + "/*");
  }
  if (type != "object") return;
  const json none = json::object();
  const json& properties = schema.contains("properties") ? schema["properties"] : none;
  for (const json& key : schema.value("required", json::array())) {
    EXPECT_TRUE(value.contains(key.get<std::string>())) << at << " lacks " << key;
  }
  for (const auto& [key, item] : value.items()) {
    if (properties.contains(key)) {
      CheckSchema(properties[key], root, item, at + "/" + key);
    } else if (schema.contains("additionalProperties")) {
      const json& more = schema["additionalProperties"];
      EXPECT_TRUE(more.is_object()) << at << " has " << key << ", which the schema does not know";
      if (more.is_object()) CheckSchema(more, root, item, at + "/" + key);
    }
  }
}

TEST(FitExport, JsonIsAsItsSchemaSays) {
  std::ifstream file(LOGLOG_ROOT "/docs/fit.schema.json");
  const json schema = json::parse(file);
  const json all = json::parse(*FitsAsJson("s", Fits()));
  CheckSchema(schema, schema, all, "");
  EXPECT_EQ(all["fits"][1]["parameters"][0]["name"], "beta");
  EXPECT_FALSE(all["fits"][1]["provenance"]["folds"].empty());
  EXPECT_EQ(all["fits"][0]["n_stopped"], 1);
  EXPECT_EQ(all["fits"][3]["arm_b"], "b_50%");
}

TEST(FitExport, LatexRowsAreEscaped) {
  const std::string rows = *FitsAsLatex("s", Fits());
  EXPECT_THAT(rows, HasSubstr("b\\_50\\% & local\\_slope in $D$ & slope & $-0."));
  EXPECT_THAT(rows, HasSubstr("\\times 10^{7}$ & ok \\\\\n"));
}

// A stored fit says how many stopped trials it holds as ends, and what they do to it.
TEST(FitExport, CensoredTrialsAreToldAndInTheSchema) {
  std::vector<ObservationRow> trials = Trials();
  trials.back().stopped_loss = 1.5;
  FitPlan plan;
  plan.censored = {{"saturating", Axis::kTokens}};
  FitRow fit = *Fitter(trials, plan).Compute({"saturating", Axis::kTokens, "b_50%", ""});
  fit.number = 1;
  const std::string text = *DescribeFit("s", fit, 200);
  EXPECT_THAT(text, AllOf(HasSubstr("1 stopped early (their loss is not final)"),
                          HasSubstr("with 1 censored trial by maximum likelihood: B "),
                          HasSubstr("; without: B ")));
  std::ifstream file(LOGLOG_ROOT "/docs/fit.schema.json");
  const json schema = json::parse(file);
  CheckSchema(schema, schema, json::parse(*FitsAsJson("s", {fit})), "");
}

// matplotlib is replaced by a module that takes any call; what is drawn is printed.
TEST(FitExport, PythonDrawsTheCurves) {
  std::string folder = testing::TempDir() + "/fit-export-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  std::filesystem::create_directories(folder + "/matplotlib");
  std::ofstream(folder + "/matplotlib/__init__.py") << "def use(name): pass\n";
  std::ofstream(folder + "/matplotlib/pyplot.py") << R"(
class Panel:
    def __getattr__(self, name):
        return lambda *a, **k: name in ("plot", "scatter") and print(name, len(a[0]), a[1][0], a[1][-1])
def subplots(r, c, **k): return None, [[Panel() for _ in range(c)]]
def tight_layout(): pass
def savefig(path): print("saved", path)
)";
  std::ofstream(folder + "/figure.py") << *FitsAsPython("s", Fits());
  std::ofstream csv(folder + "/trials.csv");
  csv << "name,state,arm,tokens,final_loss\n";
  for (const ObservationRow& row : Trials()) {
    csv << row.number << ",done," << row.arm << "," << row.tokens << "," << row.final_loss << "\n";
  }
  csv.close();
  const std::string command = absl::StrCat("cd ", folder, " && PYTHONPATH=", folder,
                                           " python3 figure.py trials.csv out.svg > printed 2>&1");
  EXPECT_EQ(std::system(command.c_str()), 0);
  std::ifstream printed(folder + "/printed");
  std::string text((std::istreambuf_iterator<char>(printed)), {});
  EXPECT_THAT(text,
              AllOf(HasSubstr("scatter 15 "), HasSubstr("plot 61 "), HasSubstr("saved out.svg")));
  std::filesystem::remove_all(folder);
}

TEST(FitExport, AFitIsDescribedWithAllThatWentIntoIt) {
  const std::vector<FitRow> fits = Fits();
  const std::string text = *DescribeFit("s", fits[1], 100);
  EXPECT_THAT(text, AllOf(HasSubstr("sweeps/s/fits/2\n"), HasSubstr("exponent beta of a form"),
                          HasSubstr("1 stopped early (their loss is not final; "),
                          HasSubstr("least squares 0.3"), HasSubstr("rolling origin"),
                          HasSubstr("when predicted from the rest"), HasSubstr("fit-")));
  EXPECT_THAT(text, HasSubstr("CONVERGED: the starts agree on one best law"));
  FitRow sure = fits[3];
  sure.p_value = 0;
  EXPECT_THAT(*DescribeFit("s", sure, 100), HasSubstr("p, one-sided    < 1e-15\n"));
  FitRow broken = fits[0];
  broken.fit_json = "[]";
  EXPECT_EQ(DescribeFit("s", broken, 80).status().code(), absl::StatusCode::kDataLoss);
}

class FitStoreCommandsTest : public StoreFileTest {
 protected:
  void Fill(Store* store) override {
    const SweepRow row = *store->read().GetSweep("one");
    const std::vector<ObservationRow> trials = *store->read().ListObservations(row.sweep_id);
    const FitPlan plan = *FitPlanOf(row.spec_json);
    Fitter fitter(trials, plan);
    for (const char* kind : {"local_slope", "saturating", "power"}) {
      FitRow fit = *fitter.Compute({kind, Axis::kTokens, "all", ""});
      fit.sweep_id = row.sweep_id;
      if (fit.kind == "power") fit.message = "another reason";
      bool created = false;
      ASSERT_TRUE(store->InsertFit(fit, &created).ok());
    }
  }
};

TEST_F(FitStoreCommandsTest, VerifyNamesWhatDiffers) {
  EXPECT_EQ(Run({"fit", "verify", "one/1", "--store", path_}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("1 of 1 fits come out the same to the last digit"));
  EXPECT_EQ(Run({"fit", "verify", "--store", path_}), 8) << err();
  EXPECT_THAT(err(), HasSubstr("fit 3: message: stored \"another reason\", now \"2 parameters"));
  EXPECT_THAT(err(), HasSubstr("2 of 3 fits"));
}

TEST_F(FitStoreCommandsTest, ShowAndExportReadTheFile) {
  EXPECT_EQ(Run({"fit", "show", "one/2", "--store", path_}), 0) << err();
  EXPECT_THAT(out(), AllOf(HasSubstr("sweeps/one/fits/2"), HasSubstr("verdict         refused"),
                           Not(HasSubstr("fits/1"))));
  EXPECT_EQ(Run({"fit", "export", "one", "--store", path_}), 0) << err();
  EXPECT_EQ(json::parse(out())["fits"].size(), 3u);
  EXPECT_EQ(Run({"fit", "export", "one", "--as", "latex", "--store", path_}), 0) << err();
  EXPECT_EQ(Run({"fit", "show", "one/9", "--store", path_}), 3);
  EXPECT_EQ(Run({"fit", "show", "one/x", "--store", path_}), 2);
  EXPECT_THAT(err(), HasSubstr("write SWEEP or SWEEP/NUMBER"));
  EXPECT_EQ(Run({"fit", "show", "--store", folder_ + "/none.db"}), 3);
}

}  // namespace
}  // namespace loglog::cli
