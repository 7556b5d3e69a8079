#include "shards/pack.h"

#include <gtest/gtest.h>

#include <set>

#include "nlohmann/json.hpp"
#include "shards/inspect.h"
#include "shards/sha256.h"
#include "shards/test_files_testing.h"
#include "shards/token_shard.h"

namespace loglog {
namespace {

// The documents of a set of shards, as text.
std::vector<std::string> Documents(const std::string& folder, const ShardSet& set) {
  std::vector<std::string> documents;
  for (const ShardFile& file : set.files) {
    const TokenShard shard(folder + "/" + file.name, ShardFormat::kLlmc);
    EXPECT_EQ(shard.tokens(), file.tokens);
    for (int64_t i = 0; i < shard.tokens(); ++i) {
      if (shard.At(i) == 0) {
        documents.emplace_back();
      } else {
        documents.back() += static_cast<char>(shard.At(i));
      }
    }
  }
  return documents;
}

std::string Paragraphs(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += "paragraph " + std::to_string(i) + "\nsecond line\n\n";
  }
  return text;
}

class PackTest : public ::testing::Test {
 protected:
  PackOptions Options(const std::string& text) {
    WriteText(folder_ / "text.txt", text);
    return {.inputs = {folder_ / "text.txt"},
            .output = folder_ / "out",
            .val_share = 0.1,
            .documents = DocumentRule::kBlankLines};
  }
  std::set<std::string> Names() {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }
  TemporaryFolder folder_;
};

TEST_F(PackTest, EveryDocumentIsOnOneSideAndNothingIsLost) {
  const ShardManifest manifest = Pack(Options(Paragraphs(400)));
  const auto train = Documents(folder_ / "out", manifest.train);
  const auto val = Documents(folder_ / "out", manifest.val);
  EXPECT_EQ(manifest.train.documents, train.size());
  EXPECT_EQ(manifest.val.documents, val.size());
  EXPECT_EQ(manifest.documents(), 400);
  EXPECT_GE(val.size(), 36u);
  EXPECT_LE(val.size(), 44u);
  std::set<std::string> all(train.begin(), train.end());
  all.insert(val.begin(), val.end());
  EXPECT_EQ(all.size(), 400u);
  EXPECT_EQ(all.count("paragraph 7\nsecond line\n"), 1u);
  EXPECT_EQ(Names(), (std::set<std::string>{"out", "text.txt"}));
}

TEST_F(PackTest, SplitDependsOnTheTextsAloneAndIsReproducible) {
  PackOptions options = Options(Paragraphs(100));
  const ShardManifest first = Pack(options);
  options.output = folder_ / "again";
  const ShardManifest again = Pack(options);
  EXPECT_EQ(first.data_sha256, again.data_sha256);
  EXPECT_EQ(ReadText(folder_ / "out/manifest.json"), ReadText(folder_ / "again/manifest.json"));

  // The same documents as files, given in reverse order: the same side for each.
  PackOptions files{.output = folder_ / "files", .val_share = 0.1};
  for (int i = 99; i >= 0; --i) {
    files.inputs.push_back(folder_ / ("doc" + std::to_string(i)));
    WriteText(files.inputs.back(), "paragraph " + std::to_string(i) + "\nsecond line\n");
  }
  const ShardManifest by_file = Pack(files);
  auto sorted = [](std::vector<std::string> v) {
    return std::set<std::string>(v.begin(), v.end());
  };
  EXPECT_EQ(sorted(Documents(folder_ / "out", first.val)),
            sorted(Documents(folder_ / "files", by_file.val)));
}

TEST_F(PackTest, TwoFilesSuffice) {
  WriteText(folder_ / "a", "one");
  WriteText(folder_ / "b", "two");
  const ShardManifest manifest =
      Pack({.inputs = {folder_ / "a", folder_ / "b"}, .output = folder_ / "out"});
  EXPECT_EQ(manifest.train.documents, 1);
  EXPECT_EQ(manifest.val.documents, 1);
  EXPECT_EQ(manifest.tokens(), 8);  // 6 bytes and a boundary before each document
}

TEST_F(PackTest, LongSetsAreCutIntoShards) {
  PackOptions options = Options(Paragraphs(100));
  const ShardManifest whole = Pack(options);
  options.output = folder_ / "cut";
  options.shard_tokens = 500;
  const ShardManifest cut = Pack(options);
  EXPECT_GT(cut.train.files.size(), 4u);
  EXPECT_EQ(cut.train.files[1].name, "train-00001.bin");
  EXPECT_EQ(cut.train.files[0].tokens, 500);
  EXPECT_EQ(cut.train.tokens, whole.train.tokens);
  EXPECT_EQ(Documents(folder_ / "cut", cut.train), Documents(folder_ / "out", whole.train));
}

TEST_F(PackTest, ManifestHoldsWhatIsOnDisk) {
  const ShardManifest manifest = Pack(Options(Paragraphs(50)));
  const auto json = nlohmann::json::parse(ReadText(folder_ / "out/manifest.json"));
  EXPECT_EQ(json["format"], "loglog-shards");
  EXPECT_EQ(json["vocab"], 256);
  EXPECT_EQ(json["tokens"], manifest.tokens());
  EXPECT_EQ(json["documents"], 50);
  const auto& file = json["sets"]["train"]["files"][0];
  EXPECT_EQ(file["name"], "train-00000.bin");
  EXPECT_EQ(file["sha256"], Sha256HexOfFile(folder_ / "out/train-00000.bin"));
  EXPECT_EQ(file["bytes"], std::filesystem::file_size(folder_ / "out/train-00000.bin"));
  EXPECT_EQ(ShardFileSha256(folder_ / "out/train-00000.bin"), file["sha256"]);
  EXPECT_TRUE(Inspect(folder_ / "out").problems.empty());
}

TEST_F(PackTest, NulByteIsRefusedWithItsPlace) {
  const PackOptions options = Options("some text" + std::string(1, '\0') + "more\n\nend\n");
  EXPECT_EQ(MessageOf<ShardError>([&] { Pack(options); }),
            folder_ / "text.txt" +
                ":9: a NUL byte at this offset; token 0 marks where documents begin, so it cannot "
                "be in the text. Is this a text file, in UTF-8?");
  EXPECT_EQ(Names(), (std::set<std::string>{"text.txt"}));
}

TEST_F(PackTest, OneDocumentCannotBeSplit) {
  PackOptions options = Options("only one\n");
  options.documents = DocumentRule::kFiles;
  EXPECT_EQ(MessageOf<ShardError>([&] { Pack(options); }),
            folder_ / "text.txt" +
                ": 1 document is too few to keep some for validation; split documents at blank "
                "lines (--documents blank-lines), or give more files");
  WriteText(folder_ / "text.txt", "\n\n  \n");
  options.documents = DocumentRule::kBlankLines;
  EXPECT_EQ(MessageOf<ShardError>([&] { Pack(options); }),
            folder_ / "text.txt" + ": there is no text to pack");
}

TEST_F(PackTest, OnlyPackedFoldersAreReplacedAndOnlyWhenAsked) {
  PackOptions options = Options(Paragraphs(50));
  Pack(options);
  EXPECT_EQ(
      MessageOf<ShardError>([&] { Pack(options); }),
      folder_ / "out" + ": already holds packed shards; name another folder, or add --overwrite");
  WriteText(folder_ / "text.txt", Paragraphs(60));
  options.overwrite = true;
  EXPECT_EQ(Pack(options).documents(), 60);
  EXPECT_EQ(Names(), (std::set<std::string>{"out", "text.txt"}));

  std::filesystem::create_directory(folder_ / "mine");
  WriteText(folder_ / "mine/thesis.tex", "x");
  options.output = folder_ / "mine";
  EXPECT_EQ(MessageOf<ShardError>([&] { Pack(options); }),
            folder_ / "mine" +
                ": is not empty and holds no manifest.json, so it is not replaced; name another "
                "folder");
}

TEST_F(PackTest, InspectFindsDamage) {
  Pack(Options(Paragraphs(50)));
  const std::string path = folder_ / "out/train-00000.bin";
  const std::string good = ReadText(path);
  InspectReport report = Inspect(folder_ / "out");
  ASSERT_EQ(report.files.size(), 2u);
  EXPECT_EQ(report.files[0].format, "llm.c uint16");
  EXPECT_EQ(report.files[0].top_tokens.size(), 10u);
  EXPECT_GE(report.files[0].top_tokens[0].second, report.files[0].top_tokens[1].second);
  EXPECT_EQ(report.files[0].min_token, 0u);

  std::string flipped = good;
  flipped[1500] ^= 1;
  WriteText(path, flipped);
  report = Inspect(folder_ / "out");
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_NE(report.problems[0].find(path + ": its contents do not match the manifest"),
            std::string::npos);
  EXPECT_TRUE(Inspect(folder_ / "out", {.verify_hashes = false}).problems.empty());

  WriteText(path, good.substr(0, 2000));
  report = Inspect(folder_ / "out");
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_NE(report.problems[0].find("it is cut short"), std::string::npos);

  std::filesystem::remove(path);
  EXPECT_EQ(Inspect(folder_ / "out").problems.size(), 1u);
  EXPECT_EQ(MessageOf<ShardError>([&] { Inspect(folder_ / "none"); }),
            folder_ / "none" + ": no such file or folder");
}

TEST_F(PackTest, BadManifestIsNamed) {
  Pack(Options(Paragraphs(50)));
  WriteText(folder_ / "out/manifest.json", "{\"format\": \"loglog-shards\"}");
  const std::string message = MessageOf<ShardError>([&] { FindManifest(folder_ / "out"); });
  EXPECT_EQ(message.find(folder_ / "out/manifest.json: is not a usable manifest"), 0u) << message;
}

TEST(ManifestTest, NamesStayInTheFolderAndValuesAreWholeAndShallow) {
  const auto with_name = [](const std::string& name) {
    return R"({"format":"loglog-shards","version":1,"tokenizer":"bytes","vocab":256,)"
           R"("document_rule":"files","val_share":0,"data_sha256":"","sets":{"train":{"tokens":1,)"
           R"("documents":1,"files":[{"name":")" +
           name +
           R"(","tokens":1,"bytes":1,"sha256":""}]},"val":{"tokens":0,"documents":0,)"
           R"("files":[]}}})";
  };
  EXPECT_EQ(ManifestFromJson(with_name("a.bin"), "m").train.files[0].name, "a.bin");
  for (const char* name : {"", ".", "..", "../a.bin", "/a.bin", "a/b.bin"}) {
    EXPECT_THROW(ManifestFromJson(with_name(name), "m"), ShardError) << name;
  }
  for (const char* vocab : {"1e300", "1.5", "9223372036854775808", "-1", "\"256\"", "null"}) {
    std::string manifest = with_name("a.bin");
    manifest.replace(manifest.find("256"), 3, vocab);
    EXPECT_THROW(ManifestFromJson(manifest, "m"), ShardError) << vocab;
  }
  const std::string deep(1 << 20, '[');
  EXPECT_THROW(ManifestFromJson("{\"format\":\"loglog-shards\",\"version\":" + deep +
                                    std::string(1 << 20, ']') + "}",
                                "m"),
               ShardError);
}

TEST(DataSha256, CountsContentsOrderAndSideOnly) {
  EXPECT_EQ(DataSha256({"a", "b"}, {"c"}), DataSha256({"a", "b"}, {"c"}));
  EXPECT_NE(DataSha256({"a", "b"}, {"c"}), DataSha256({"b", "a"}, {"c"}));
  EXPECT_NE(DataSha256({"a", "b"}, {"c"}), DataSha256({"a"}, {"b", "c"}));
}

}  // namespace
}  // namespace loglog
