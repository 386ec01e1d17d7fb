#include "train/data/tar_index.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

#include "kernels/common/check.h"
#include "tests/train/data_fixtures.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using cuclip::test::TarBytes;

namespace {

struct Walked {
  std::vector<TarMember> members;
  TarCounts counts;
};

Walked walk(const std::string& bytes) {
  Walked result;
  const ReadAt read = [&](int64_t offset, std::span<char> into) {
    const auto start = std::min(static_cast<size_t>(offset), bytes.size());
    const size_t n = std::min(into.size(), bytes.size() - start);
    std::memcpy(into.data(), bytes.data() + start, n);
    return n;
  };
  result.counts = walk_tar(read, std::ssize(bytes), "x.tar",
                           [&](TarMember&& member) { result.members.push_back(std::move(member)); });
  return result;
}

std::string contents(const std::string& bytes, const TarMember& member) {
  return bytes.substr(static_cast<size_t>(member.offset), static_cast<size_t>(member.size));
}

}  // namespace

TEST_CASE("tar: members have their names and their bytes") {
  const std::string bytes = TarBytes()
                                .file("a.jpg", std::string(512, 'x'))
                                .file("b/c.txt", "hello")
                                .file("empty.txt", "")
                                .file("old.txt", "from before ustar", '\0')
                                .finish();
  const Walked walked = walk(bytes);
  REQUIRE(walked.members.size() == 4);
  CHECK(walked.members[0].name == "a.jpg");
  CHECK(contents(bytes, walked.members[0]) == std::string(512, 'x'));
  CHECK(walked.members[1].name == "b/c.txt");
  CHECK(contents(bytes, walked.members[1]) == "hello");
  CHECK(walked.members[2].size == 0);
  CHECK(contents(bytes, walked.members[3]) == "from before ustar");
  CHECK(walked.counts.files == 4);
}

TEST_CASE("tar: names come from ustar prefixes, pax headers and GNU long names") {
  const std::string lengthy(300, 'n');
  const std::string bytes = TarBytes()
                                .raw(TarBytes::header("name.txt", TarBytes::octal(2), '0', "some/prefix"))
                                .raw(TarBytes::padded("ab"))
                                .pax("path", lengthy + ".jpg")
                                .file("cut", "pax")
                                .gnu_long_name(lengthy + ".png")
                                .file("cut", "gnu")
                                .file("next", "plain again")
                                .finish();
  const Walked walked = walk(bytes);
  REQUIRE(walked.members.size() == 4);
  CHECK(walked.members[0].name == "some/prefix/name.txt");
  CHECK(walked.members[1].name == lengthy + ".jpg");
  CHECK(contents(bytes, walked.members[1]) == "pax");
  CHECK(walked.members[2].name == lengthy + ".png");
  CHECK(contents(bytes, walked.members[2]) == "gnu");
  CHECK(walked.members[3].name == "next");
}

TEST_CASE("tar: sizes come from octal, base 256 and pax") {
  std::string base256(12, '\0');
  base256[0] = static_cast<char>(0x80);
  base256[10] = 2;  // 2 * 256 + 88 = 600
  base256[11] = 88;
  const std::string bytes = TarBytes()
                                .raw(TarBytes::header("a", base256))
                                .raw(TarBytes::padded(std::string(600, 'a')))
                                .pax("size", "700")
                                .raw(TarBytes::header("b", TarBytes::octal(0)))
                                .raw(TarBytes::padded(std::string(700, 'b')))
                                .file("c", "c")
                                .finish();
  const Walked walked = walk(bytes);
  REQUIRE(walked.members.size() == 3);
  CHECK(contents(bytes, walked.members[0]) == std::string(600, 'a'));
  CHECK(contents(bytes, walked.members[1]) == std::string(700, 'b'));
  CHECK(contents(bytes, walked.members[2]) == "c");
}

TEST_CASE("tar: links, folders and devices are passed over, and ../ names are names like others") {
  const std::string bytes = TarBytes()
                                .raw(TarBytes::header("folder/", TarBytes::octal(0), '5'))
                                .raw(TarBytes::header("hard", TarBytes::octal(0), '1'))
                                .raw(TarBytes::header("symbolic", TarBytes::octal(0), '2'))
                                .raw(TarBytes::header("fifo", TarBytes::octal(0), '6'))
                                .file("../../etc/passwd", "x")
                                .file("/absolute", "y")
                                .finish();
  const Walked walked = walk(bytes);
  CHECK(walked.counts.links == 2);
  CHECK(walked.counts.others == 2);
  REQUIRE(walked.members.size() == 2);
  CHECK(walked.members[0].name == "../../etc/passwd");
  CHECK(walked.members[1].name == "/absolute");
}

TEST_CASE("tar: a file cut inside a header or a member's contents is refused") {
  const std::string whole = TarBytes().file("a.jpg", std::string(700, 'a')).file("b.txt", "caption").finish();
  // Headers at 0, 1536 and (the marker's two blocks) 2560 and 3072; contents end at 512 + 700 and 2048 + 7.
  // What is lost in padding and marker holds nothing.
  auto is_whole = [](size_t size) {
    return (size >= 1212 && size <= 1536) || (size >= 2055 && size <= 2560) || size >= 3072;
  };
  for (size_t size = 1; size < whole.size(); size += 1 + size % 7) {
    INFO(size);
    if (is_whole(size)) {
      CHECK(walk(whole.substr(0, size)).members.size() == (size < 2000 ? 1 : 2));
    } else {
      CHECK_THROWS_AS(walk(whole.substr(0, size)), InputError);
    }
  }
  CHECK_THROWS_WITH(walk(whole.substr(0, 800)), Contains("truncated") && Contains("700 bytes, 288 are left"));
}

TEST_CASE("tar: archives one after the other are walked, and trailing data is counted") {
  const std::string one = TarBytes().file("a", "1").finish(),
                    two = TarBytes().file("b", "2").file("c", "3").finish();
  const std::string empty(10240, '\0');
  for (const std::string& between : {std::string(), empty, std::string(200'000 / 512 * 512, '\0')}) {
    INFO(between.size());
    const std::string bytes = one + between + two;
    const Walked walked = walk(bytes);
    REQUIRE(walked.members.size() == 3);
    CHECK(contents(bytes, walked.members[2]) == "3");
    CHECK(walked.members[0].archive == 0);
    CHECK(walked.members[1].archive == 1);
    CHECK(walked.members[2].archive == 1);
    CHECK(walked.counts.zeros == 1024);
    CHECK(walked.counts.foreign == 0);
  }
  CHECK(walk(empty + one).members.size() == 1);
  // A lone block of zeros, which some writers leave, ends nothing.
  CHECK(walk(TarBytes().file("a", "1").raw(std::string(512, '\0')).file("b", "2").finish()).members.size() ==
        2);

  const std::string foreign = one + std::string(1024, '\0') + "<html>" + std::string(700, ' ');
  CHECK(walk(foreign).members.size() == 1);
  CHECK(walk(foreign).counts.foreign == 706);
  CHECK(walk(foreign).counts.foreign_at == std::ssize(one) + 1024);
  std::string damaged = one + two;
  damaged[one.size() + 3] ^= 1;  // in the second archive's first header
  CHECK(walk(damaged).counts.foreign == std::ssize(two));
}

TEST_CASE("tar: a damaged header is refused with its position and both checksums") {
  std::string bytes = TarBytes().file("a.jpg", "a").file("b.txt", "b").finish();
  bytes[1024 + 3] ^= 1;  // in the second header's name
  CHECK_THROWS_WITH(walk(bytes), Contains("byte 1024") && Contains("should be") && Contains("found"));
  std::string first = TarBytes().file("a.jpg", "a").finish();
  first[3] ^= 1;
  CHECK_THROWS_WITH(walk(first), Contains("expected a tar file"));
}

TEST_CASE("tar: what is not a tar file is refused with a hint") {
  CHECK_THROWS_WITH(walk(""), Contains("0 bytes"));
  CHECK_THROWS_WITH(walk("<!DOCTYPE html>" + std::string(2000, ' ')), Contains("expected a tar file"));
  CHECK_THROWS_WITH(walk("\x1f\x8b\x08" + std::string(2000, 'z')), Contains("gunzip"));
  CHECK_THROWS_WITH(walk(std::string(100000, '\0')), Contains("found zeros"));
  CHECK_THROWS_WITH(walk("short"), Contains("truncated"));
  CHECK_NOTHROW(walk(std::string(10240, '\0')));  // an archive without members
}

TEST_CASE("tar: absurd sizes and broken extensions are refused") {
  CHECK_THROWS_WITH(walk(TarBytes().raw(TarBytes::header("a", "77777777777")).finish()),
                    Contains("truncated"));
  CHECK_THROWS_WITH(walk(TarBytes().raw(TarBytes::header("a", "-1")).finish()), Contains("not a number"));
  CHECK_THROWS_WITH(walk(TarBytes().raw(TarBytes::header("a", "abc")).finish()), Contains("not a number"));
  std::string huge(12, '\xff');
  huge[0] = static_cast<char>(0x80);
  CHECK_THROWS_AS(walk(TarBytes().raw(TarBytes::header("a", huge)).finish()), InputError);
  for (const char* record :
       {"nonsense", "5 a=b\n", "99 path=x\n", "0 =\n", "9 path=xy\n", "12 size=12x4\n"}) {
    INFO(record);
    CHECK_THROWS_AS(walk(TarBytes().file("p", record, 'x').file("a", "b").finish()), InputError);
  }
  CHECK_THROWS_WITH(walk(TarBytes().file("s", "x", 'S').finish()), Contains("sparse"));
  for (const char* key : {"GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.realsize"}) {
    const std::string sparse = TarBytes().pax(key, "1").file("GNUSparseFile.0/s", "x").finish();
    CHECK_THROWS_WITH(walk(sparse), Contains("sparse") && Contains("not supported"));
  }
  const std::string long_name = TarBytes().gnu_long_name(std::string(2 << 20, 'n')).file("a", "b").finish();
  CHECK_THROWS_WITH(walk(long_name), Contains("at most"));
}
