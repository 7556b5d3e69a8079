// Files of pairs of texts as the authors of compositional benchmarks publish them.
#ifndef LOGLOG_TRAINER_PAIR_FILES_H_
#define LOGLOG_TRAINER_PAIR_FILES_H_

#include <string>
#include <vector>

#include "trainer/config.h"

namespace loglog {

struct TextPair {
  std::vector<std::string> input, output;  // words
  std::string kind;                        // of generalization, where the file tells; else empty
  std::string place;                       // for messages: the file and the line or the entry
};

// Of a file of these formats:
//   scan      a line "IN: <words> OUT: <words>" for each pair (Lake and Baroni 2018)
//   cogs      three columns between tabs: sentence, logical form, kind (Kim and Linzen 2020)
//   prontoqa  one JSON object; of each member its "test_example": the input is "question" and
//             "query", the output the steps of "chain_of_thought" and "answer" (Saparov and He
//             2023). A full stop, colon or comma at the end of a word is a word of its own.
// Words are what stands between spaces. Empty lines are passed over. Throws ShardError naming the
// file, the line or entry, and what is expected there; FileError for a file that cannot be read.
std::vector<TextPair> ReadPairFile(DataFormat format, const std::string& path);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_PAIR_FILES_H_
