#include "shards/file_writer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>

#include "shards/test_files_testing.h"

namespace loglog {
namespace {

TEST(FileWriter, ErrorsCarryTheirNumber) {
  try {
    const FileWriter writer("/proc/none/file");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const FileError& error) {
    EXPECT_EQ(error.error(), ENOENT);
    EXPECT_STREQ(error.what(), "/proc/none/file: cannot be created: No such file or directory");
  }
}

TEST(FileWriter, StorageFailuresAreThoseOfAHost) {
  for (const int error : {ENOSPC, EDQUOT, EFBIG, EIO, EROFS, ESTALE}) {
    EXPECT_TRUE(IsStorageFailure(error)) << error;
  }
  for (const int error : {0, ENOENT, EACCES, EINVAL, ENOMEM}) {
    EXPECT_FALSE(IsStorageFailure(error)) << error;
  }
}

TEST(MakeDirectories, MakesWhatIsMissing) {
  TemporaryFolder folder;
  MakeDirectories(folder / "a/b/c");
  MakeDirectories(folder / "a/b/c");
  EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b/c"));
  WriteText(folder / "file", "x");
  EXPECT_EQ(MessageOf<FileError>([&] { MakeDirectories(folder / "file/below"); }),
            folder / "file/below" + ": cannot be made: Not a directory");
}

}  // namespace
}  // namespace loglog
