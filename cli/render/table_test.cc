#include "cli/render/table.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace loglog::cli {
namespace {

Table Example() {
  Table table;
  table.columns = {{"name"},
                   {"final_loss", true},
                   {"state"},
                   {"worker", false, true},
                   {"sha", false, true, true}};
  table.rows = {{Cell::Text("a"), Cell::Real(3.25, 4), Cell::Text("done"), Cell::Text("w,1"),
                 Cell::Text("ff")},
                {Cell::Text("long-name"), Cell::Real(NAN, 4), Cell::Text("diverged"),
                 Cell::Text(""), Cell::None()}};
  return table;
}

TEST(TableTest, PlainColumnsWithoutBorders) {
  EXPECT_EQ(RenderTable(Example(), Format::kTable, {}),
            "NAME       FINAL LOSS  STATE\n"
            "a              3.2500  done\n"
            "long-name           -  diverged\n");
}

TEST(TableTest, WideAddsColumnsButNotHiddenOnes) {
  EXPECT_EQ(RenderTable(Example(), Format::kWide, {}),
            "NAME       FINAL LOSS  STATE     WORKER\n"
            "a              3.2500  done      w,1\n"
            "long-name           -  diverged  -\n");
}

// T21: a number that is not finite is null in JSON, empty in CSV, and its state stands
// beside it.
TEST(TableTest, T21_not_finite_is_null_or_empty) {
  EXPECT_EQ(RenderTable(Example(), Format::kJson, {}),
            "[\n"
            "  {\"name\": \"a\", \"final_loss\": 3.25, \"state\": \"done\", \"worker\": \"w,1\", "
            "\"sha\": \"ff\"},\n"
            "  {\"name\": \"long-name\", \"final_loss\": null, \"state\": \"diverged\", "
            "\"worker\": \"\", \"sha\": null}\n"
            "]\n");
  EXPECT_EQ(RenderTable(Example(), Format::kCsv, {}),
            "name,final_loss,state,worker,sha\n"
            "a,3.25,done,\"w,1\",ff\n"
            "long-name,,diverged,,\n");
}

TEST(TableTest, OneObjectALineAndNames) {
  EXPECT_THAT(RenderTable(Example(), Format::kJsonl, {}),
              testing::StartsWith("{\"name\": \"a\", \"final_loss\": 3.25"));
  EXPECT_EQ(RenderTable(Example(), Format::kName, {}), "a\nlong-name\n");
  EXPECT_EQ(RenderTable({.columns = {{"name"}}}, Format::kJson, {}), "[]\n");
  EXPECT_EQ(RenderTable({.columns = {{"name"}}, .rows = {{Cell::Text("a")}}, .kind = "trials"},
                        Format::kJson, {}),
            "{\"trials\": [\n  {\"name\": \"a\"}\n]}\n");
}

TEST(TableTest, RecordsAreLinesOfKeyAndValue) {
  Table table = Example();
  table.rows.pop_back();
  EXPECT_EQ(RenderRecord(table, Format::kTable, {}),
            "name        a\n"
            "final loss  3.2500\n"
            "state       done\n"
            "worker      w,1\n");
  EXPECT_THAT(RenderRecord(table, Format::kJson, {}),
              testing::StartsWith("{\n  \"name\": \"a\",\n"));
}

TEST(TableTest, ColorOnlyWhereAskedFor) {
  EXPECT_THAT(RenderTable(Example(), Format::kTable, {.color = true}), testing::HasSubstr("\x1b["));
  EXPECT_THAT(RenderTable(Example(), Format::kTable, {}), testing::Not(testing::HasSubstr("\x1b")));
}

TEST(TableTest, FormatsAreNamed) {
  EXPECT_EQ(ParseFormat("csv").value(), Format::kCsv);
  EXPECT_THAT(std::string(ParseFormat("xml").status().message()), testing::HasSubstr("`xml`"));
}

}  // namespace
}  // namespace loglog::cli
