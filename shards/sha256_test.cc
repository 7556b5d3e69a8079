#include "shards/sha256.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "shards/file_writer.h"

namespace loglog {

void Sha256CompressPortable(uint32_t state[8], const uint8_t* block, size_t blocks);
void Sha256CompressDispatched(uint32_t state[8], const uint8_t* block, size_t blocks);

namespace {

// Vectors of FIPS 180-4 and of NIST's example files.
TEST(Sha256, StandardVectors) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256Hex("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                      "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"),
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  EXPECT_EQ(Sha256Hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesGiveTheHashOfTheWhole) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  for (size_t size : {0, 1, 55, 56, 63, 64, 65, 119, 128, 300}) {
    const std::string whole = Sha256Hex(std::string_view(text).substr(0, size));
    for (size_t piece : {1, 3, 63, 64, 65, 200}) {
      Sha256 hash;
      for (size_t at = 0; at < size; at += piece) {
        hash.Update(std::string_view(text).substr(at, std::min(piece, size - at)));
        hash.HexDigest();  // looking at a digest must not disturb the state
      }
      EXPECT_EQ(hash.HexDigest(), whole) << size << " bytes in pieces of " << piece;
    }
  }
}

TEST(Sha256, Prefix64IsTheHeadOfTheDigest) {
  Sha256 hash;
  hash.Update("abc");
  EXPECT_EQ(hash.Prefix64(), 0xba7816bf8f01cfeaULL);
}

TEST(Sha256, ProcessorInstructionsAgreeWithPortableCode) {
  std::mt19937 random(20240520);
  for (int round = 0; round < 50; ++round) {
    uint32_t one[8], two[8];
    for (int i = 0; i < 8; ++i) one[i] = two[i] = random();
    std::string bytes(64 * (1 + round % 4), 0);
    for (char& c : bytes) c = static_cast<char>(random());
    const uint8_t* data = reinterpret_cast<const uint8_t*>(bytes.data());
    Sha256CompressPortable(one, data, bytes.size() / 64);
    Sha256CompressDispatched(two, data, bytes.size() / 64);
    for (int i = 0; i < 8; ++i) ASSERT_EQ(one[i], two[i]);
  }
}

TEST(Sha256, MissingFileIsNamed) {
  try {
    Sha256HexOfFile("/nonexistent/tokens.bin");
    FAIL() << "no error";
  } catch (const FileError& error) {  // a fact about the host
    EXPECT_EQ(error.error(), ENOENT);
    EXPECT_STREQ(
        error.what(),
        "/nonexistent/tokens.bin: cannot be opened for hashing: No such file or directory");
  }
}

}  // namespace
}  // namespace loglog
