#include "trainer/pair_files.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "shards/file_writer.h"
#include "shards/token_shard.h"

namespace loglog {
namespace {

using nlohmann::json;

constexpr int kDepthMax = 16;  // reading a value takes a stack frame for each level

std::vector<std::string> Words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

// A sentence's marks are words: "cat." is cat and a full stop.
std::vector<std::string> WordsAndMarks(const std::string& text) {
  std::vector<std::string> words;
  for (std::string word : Words(text)) {
    std::string mark;
    if (word.size() > 1 && std::string(".:,").find(word.back()) != std::string::npos) {
      mark = word.back();
      word.pop_back();
    }
    words.push_back(word);
    if (!mark.empty()) words.push_back(mark);
  }
  return words;
}

[[noreturn]] void Refuse(const std::string& place, const std::string& what) {
  throw ShardError(place + ": " + what);
}

TextPair ScanPair(const std::string& line, const std::string& place) {
  const size_t out = line.find(" OUT: ");
  if (line.rfind("IN: ", 0) != 0 || out == std::string::npos || out < 4) {
    Refuse(place,
           "is not of the form \"IN: <words> OUT: <words>\" of SCAN; is data.train.format "
           "the right one?");
  }
  return {.input = Words(line.substr(4, out - 4)), .output = Words(line.substr(out + 6))};
}

TextPair CogsPair(const std::string& line, const std::string& place) {
  const size_t first = line.find('\t');
  const size_t second = first == std::string::npos ? first : line.find('\t', first + 1);
  if (second == std::string::npos || line.find('\t', second + 1) != std::string::npos) {
    Refuse(place,
           "does not have the three columns of COGS between tabs: sentence, logical form, "
           "kind; is data.train.format the right one?");
  }
  const std::vector<std::string> kind = Words(line.substr(second + 1));
  if (kind.size() > 1) Refuse(place, "has a kind of several words; COGS has one");
  return {.input = Words(line.substr(0, first)),
          .output = Words(line.substr(first + 1, second - first - 1)),
          .kind = kind.empty() ? "" : kind[0]};
}

std::vector<TextPair> LinePairs(DataFormat format, const std::string& path) {
  std::istringstream lines(ReadWholeFile(path));
  std::vector<TextPair> pairs;
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    const std::string place = path + ":" + std::to_string(number);
    pairs.push_back(format == DataFormat::kScan ? ScanPair(line, place) : CogsPair(line, place));
    pairs.back().place = place;
  }
  return pairs;
}

std::string TextAt(const json& example, const char* key) {
  return example.at(key).get<std::string>();
}

std::vector<TextPair> ProntoqaPairs(const std::string& path) {
  std::vector<TextPair> pairs;
  std::string place = path;
  try {
    const json root = json::parse(ReadWholeFile(path), [](int depth, json::parse_event_t, json&) {
      if (depth > kDepthMax) throw std::runtime_error("it is nested too deeply");
      return true;
    });
    if (!root.is_object()) throw std::runtime_error("it is not an object of examples");
    for (const auto& [name, entry] : root.items()) {
      place = path + ": " + name;
      const json& example = entry.at("test_example");
      std::string proof;
      for (const json& step : example.at("chain_of_thought"))
        proof += step.get<std::string>() + " ";
      pairs.push_back(
          {.input = WordsAndMarks(TextAt(example, "question") + " " + TextAt(example, "query")),
           .output = WordsAndMarks(proof + TextAt(example, "answer")),
           .place = place});
    }
  } catch (const FileError&) {
    throw;
  } catch (const std::exception& error) {
    Refuse(place, std::string("is not as PrOntoQA writes it (") + error.what() +
                      "): an object of examples with a test_example of question, query, "
                      "chain_of_thought and answer");
  }
  return pairs;
}

}  // namespace

std::vector<TextPair> ReadPairFile(DataFormat format, const std::string& path) {
  std::vector<TextPair> pairs =
      format == DataFormat::kProntoqa ? ProntoqaPairs(path) : LinePairs(format, path);
  if (pairs.empty()) Refuse(path, "holds no example; name other files in data.*.glob");
  for (const TextPair& pair : pairs) {
    if (pair.input.empty() || pair.output.empty()) {
      Refuse(pair.place, "has an empty input or output");
    }
  }
  return pairs;
}

}  // namespace loglog
