// Folders as users have them: links, leftovers of other systems, entries that cannot be read. What lists
// folders sees the same in all of them.
#include "models/files/folder_walk.h"

#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>

#include "kernels/common/check.h"
#include "models/files/picture_files.h"
#include "models/inference/labelled_pictures.h"
#include "tests/support/command.h"
#include "train/data/collections.h"
#include "train/data/dataset.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using cuclip::test::TemporaryFolder;
using Strings = std::vector<std::string>;
namespace fs = std::filesystem;

namespace {

Strings names(const FolderListing& listing) {
  Strings result;
  for (const FoundFile& file : listing.files) result.push_back(file.name.string());
  return result;
}

Strings notes(const FolderListing& listing) { return listing.passed_over.notes("d"); }

std::string caption_of(const Dataset& dataset, int64_t index) { return dataset.captions(index).at(0); }

std::string picture_of(const Dataset& dataset, int64_t index) {
  return std::get<std::string>(dataset.load(index).picture);
}

// Permissions hold for root too while this lives.
class WithoutOverride {
 public:
  WithoutOverride() {
    REQUIRE(::syscall(SYS_capget, &header_, before_.data()) == 0);
    auto now = before_;
    now[0].effective &= ~(1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
    REQUIRE(::syscall(SYS_capset, &header_, now.data()) == 0);
  }
  ~WithoutOverride() { ::syscall(SYS_capset, &header_, before_.data()); }

 private:
  __user_cap_header_struct header_{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> before_{};
};

// Pairs with links for names, pictures in `pool` under other ones, that sort the other way round.
void link_pairs(const TemporaryFolder& folder) {
  for (int i = 0; i < 4; ++i) {
    const std::string pooled = "pool/" + std::to_string(9 - i),
                      name = std::string(1, static_cast<char>('a' + i));
    folder.write(pooled + ".jpg", "picture " + name);
    folder.write(pooled + ".txt", "caption " + name);
    fs::create_directories(folder / "linked");
    fs::create_symlink("../" + pooled + ".jpg", folder / ("linked/" + name + ".jpg"));
    fs::create_symlink("../" + pooled + ".txt", folder / ("linked/" + name + ".txt"));
  }
}

}  // namespace

TEST_CASE("files are listed by the names in the folder, in a fixed order, with the size of what they are") {
  const TemporaryFolder folder;
  folder.write("b.txt", "four");
  folder.write("a/2.txt", "x");
  folder.write("a-b/1.txt", "x");
  folder.write("a/1/deep.txt", "x");
  folder.write("caf\xe9.txt", "Latin-1");
  fs::create_symlink("b.txt", folder / "link.txt");
  fs::create_symlink(folder / "a", folder / "z");
  const FolderListing listing = walk_folder(folder.path());
  CHECK(names(listing) == Strings{"a/1/deep.txt", "a/2.txt", "a-b/1.txt", "b.txt", "caf\xe9.txt", "link.txt",
                                  "z/1/deep.txt", "z/2.txt"});
  CHECK(listing.files[5].stamp.bytes == 4);
  CHECK(listing.folders == std::vector<fs::path>{"a", "a/1", "a-b", "z", "z/1"});
  CHECK(notes(listing).empty());
}

TEST_CASE("a folder without end is walked once, whatever leads back into it") {
  const TemporaryFolder folder;
  folder.write("a/b/x.txt", "x");
  fs::create_symlink("..", folder / "a/up");
  fs::create_symlink(folder.path(), folder / "a/b/top");
  fs::create_symlink(".", folder / "here");
  const FolderListing listing = walk_folder(folder.path());
  CHECK(names(listing) == Strings{"a/b/x.txt"});
  REQUIRE(notes(listing).size() == 1);
  CHECK_THAT(notes(listing)[0], Contains("3 links to their own parent folders") && Contains("a/b/top"));
  CHECK(walk_folder(folder / "here").files.size() == 1);  // the folder itself may be a link
}

TEST_CASE("what systems leave in folders is passed over and counted, with all that is below") {
  const TemporaryFolder folder;
  folder.write("x.jpg", "x");
  for (const char* name :
       {"._x.jpg", ".DS_Store", ".thumbnails/a.jpg", ".thumbnails/b.jpg", "@eaDir/x.jpg/t.jpg",
        ".ipynb_checkpoints/x.jpg", "sub/.git/x.jpg", "__MACOSX/x.jpg", "#recycle/x.jpg"})
    folder.write(name, "x");
  const FolderListing listing = walk_folder(folder.path());
  CHECK(names(listing) == Strings{"x.jpg"});
  REQUIRE(notes(listing).size() == 1);
  CHECK_THAT(notes(listing)[0],
             Contains("d: passed over 8 hidden files and folders, for example") && Contains("#recycle"));
  const TemporaryFolder hidden;  // of the folder's own name nothing follows
  hidden.write(".cache/pairs/x.jpg", "x");
  CHECK(walk_folder(hidden / ".cache/pairs").files.size() == 1);
}

TEST_CASE("an entry that cannot be read is passed over by its name, and the walk continues") {
  const TemporaryFolder folder;
  folder.write("locked/x.txt", "x");
  folder.write("unsearchable/x.txt", "x");
  folder.write("z.txt", "z");
  fs::create_symlink("me", folder / "me");
  fs::create_symlink("gone.txt", folder / "dangling.txt");
  REQUIRE(::mkfifo((folder / "pipe.txt").c_str(), 0600) == 0);
  fs::permissions(folder / "locked", fs::perms(0));
  fs::permissions(folder / "unsearchable", fs::perms(0444));
  {
    const WithoutOverride guard;
    const FolderListing listing = walk_folder(folder.path());
    CHECK(names(listing) == Strings{"z.txt"});
    CHECK(listing.broken_links == std::vector<fs::path>{"dangling.txt", "me"});
    const Strings said = notes(listing);
    REQUIRE(said.size() == 4);
    CHECK_THAT(said[0], Contains("1 entry that is neither file nor folder") && Contains("pipe.txt"));
    CHECK_THAT(said[1], Contains("2 links that lead nowhere, for example") && Contains("/dangling.txt"));
    CHECK_THAT(said[2], Contains("1 unreadable file") && Contains("unsearchable/x.txt: Permission denied"));
    CHECK_THAT(said[3], Contains("1 unreadable folder") && Contains("/locked: Permission denied"));
    CHECK_THROWS_WITH(walk_folder(folder / "locked"),
                      Contains("cannot read the folder") && Contains("/locked: Permission denied"));
  }
  fs::permissions(folder / "locked", fs::perms(0755));
  fs::permissions(folder / "unsearchable", fs::perms(0755));
  CHECK_THROWS_WITH(walk_folder(folder / "missing"), Contains("missing: No such file"));
  CHECK_THROWS_WITH(walk_folder(folder / "z.txt"), Contains("z.txt: Not a directory"));
  CHECK_THROWS_AS(walk_folder(folder / std::string(300, 'x')), InputError);
}

TEST_CASE("a folder of links pairs each picture with the caption of its own name") {
  const TemporaryFolder folder;
  link_pairs(folder);
  // Names that cross over to the next one's caption are names all the same.
  fs::create_directories(folder / "crossed");
  for (int i = 0; i < 4; ++i) {
    const std::string picture = "../pool/" + std::to_string(9 - i),
                      caption = "../pool/" + std::to_string(6 + i);
    fs::create_symlink(picture + ".jpg", folder / fmt::format("crossed/{}.jpg", i));
    fs::create_symlink(caption + ".txt", folder / fmt::format("crossed/{}.txt", i));
  }
  // git-annex and Hugging Face's cache: the targets have neither stems nor extensions, and lie in hidden
  // folders.
  folder.write("annex/.git/objects/5a31", "picture a");
  folder.write("annex/.git/objects/77b0", "caption a");
  fs::create_symlink(".git/objects/5a31", folder / "annex/a.jpg");
  fs::create_symlink(".git/objects/77b0", folder / "annex/a.txt");

  const auto linked = open_dataset(folder / "linked"), crossed = open_dataset(folder / "crossed"),
             annex = open_dataset(folder / "annex");
  REQUIRE(linked->size() == 4);
  REQUIRE(crossed->size() == 4);
  REQUIRE(annex->size() == 1);
  for (int64_t i = 0; i < 4; ++i) {
    const auto letter = [](int64_t at) { return std::string(1, static_cast<char>('a' + at)); };
    CHECK(linked->key(i) == letter(i));
    CHECK(picture_of(*linked, i) == "picture " + letter(i));
    CHECK(caption_of(*linked, i) == "caption " + letter(i));
    CHECK(picture_of(*crossed, i) == "picture " + letter(i));
    CHECK(caption_of(*crossed, i) == "caption " + letter(3 - i));
  }
  CHECK(annex->key(0) == "a");
  CHECK(picture_of(*annex, 0) == "picture a");
  CHECK_THAT(annex->notes().at(0), Contains("annex/.git"));
}

TEST_CASE(
    "in a folder extensions count in either case, and of two spellings one is used and the other counted") {
  const TemporaryFolder folder;
  folder.write("a.JPG", "A");
  folder.write("a.TXT", "caption a");
  folder.write("b.Png", "B");
  folder.write("b.JSON", R"({"caption": "caption b"})");
  folder.write("c.JPG", "not this one");
  folder.write("c.jpg", "C");
  folder.write("c.txt", "caption c");
  folder.write("c.TXT", "not this one");
  const auto dataset = open_dataset(folder.path());
  REQUIRE(dataset->size() == 3);
  CHECK(caption_of(*dataset, 0) == "caption a");
  CHECK(caption_of(*dataset, 1) == "caption b");
  CHECK(caption_of(*dataset, 2) == "caption c");
  CHECK(picture_of(*dataset, 2) == "C");
  CHECK(dataset->bad().by_reason ==
        std::map<std::string, int64_t>{{"repeated picture", 1}, {"repeated caption file", 1}});
  CHECK_THAT(dataset->bad().summary(), Contains("c.JPG: ") && Contains("c.TXT: "));

  folder.write("captions.CSV", "filepath,title\na.JPG,from the table\n");
  CHECK(caption_of(*open_dataset(folder.path()), 0) == "from the table");
}

TEST_CASE("a picture whose link leads nowhere is a bad sample where it has a caption") {
  const TemporaryFolder folder;
  folder.write("a.jpg", "A");
  folder.write("a.txt", "a");
  folder.write("b.txt", "b");
  fs::create_symlink("not-fetched", folder / "b.jpg");
  fs::create_symlink("c.jpg", folder / "c.jpg");
  const auto dataset = open_dataset(folder.path());
  CHECK(dataset->size() == 1);
  CHECK(dataset->bad().by_reason == std::map<std::string, int64_t>{{"no picture", 1}});
  CHECK_THAT(dataset->bad().summary(), Contains("b.jpg: the link leads nowhere"));
  CHECK_THAT(dataset->notes().at(0), Contains("2 links that lead nowhere"));
}

TEST_CASE("leftovers alone are not a data set, and the message says what was there") {
  const TemporaryFolder folder;
  folder.write("._a.jpg", "x");
  folder.write("._a.txt", "x");
  CHECK_THROWS_WITH(open_dataset(folder.path()), Contains("no usable sample") && Contains("2 hidden files"));
  Strings said;
  CHECK_THROWS_WITH(find_pictures(folder.path(), said), Contains("no picture") && Contains("2 hidden files"));
}

TEST_CASE("the index lists what data sets list") {
  const TemporaryFolder folder;
  link_pairs(folder);
  folder.write("linked/._a.jpg", "x");
  fs::create_symlink("../pool", folder / "linked/more");
  fs::create_symlink("me.jpg", folder / "linked/me.jpg");
  Strings said;
  std::vector<fs::path> expected;
  for (const char* name :
       {"a.jpg", "b.jpg", "c.jpg", "d.jpg", "more/6.jpg", "more/7.jpg", "more/8.jpg", "more/9.jpg"})
    expected.push_back(folder / "linked" / name);
  CHECK(find_pictures(folder / "linked", said) == expected);
  REQUIRE(said.size() == 2);
  CHECK_THAT(said[0], Contains("1 hidden file or folder") && Contains("linked/._a.jpg"));
  CHECK_THAT(said[1], Contains("1 link that leads nowhere") && Contains("linked/me.jpg"));
}

TEST_CASE("class folders: links are classes, leftovers are not, empty ones are skipped and reported") {
  const TemporaryFolder folder;
  folder.write("pool/x/1.jpg", "x");
  for (const char* name :
       {"cls/red_car/1.JPG", "cls/red_car/._1.jpg", "cls/dog/below/2.png", "cls/.ipynb_checkpoints/1.jpg",
        "cls/@eaDir/dog/1.jpg", "cls/empty/readme.txt", "cls/a.jpg"})
    folder.write(name, "x");
  fs::create_directory_symlink("../pool/x", folder / "cls/linked");
  const LabelledPictures set = read_labelled_pictures(folder / "cls");
  CHECK(set.classes == Strings{"dog", "linked", "red car"});
  CHECK(set.labels == std::vector<int32_t>{0, 1, 2});
  std::string notes;
  for (const std::string& note : set.notes) notes += note + "\n";
  CHECK_THAT(notes, Contains("1 class folder without a picture: empty") &&
                        Contains("3 hidden files and folders") &&
                        Contains("1 picture beside the class folders: a.jpg"));
  fs::remove_all(folder / "cls/red_car");
  fs::remove_all(folder / "cls/dog");
  fs::remove(folder / "cls/linked");
  CHECK_THROWS_WITH(read_labelled_pictures(folder / "cls"), Contains("no picture") && Contains("empty"));
}

TEST_CASE("collections are listed by the names in their folders too") {
  const TemporaryFolder folder;
  folder.write("birds/owl.png", "x");
  folder.write("birds/owl.txt", "A snowy owl.\n");
  folder.write("birds/.owl.txt.swp", "x");
  fs::create_symlink("owl.png", folder / "birds/uhu.png");
  fs::create_symlink("owl.txt", folder / "birds/uhu.txt");
  const RawPairs pairs = list_tuxpaint(folder.path());
  REQUIRE(pairs.pairs.size() == 2);
  CHECK(pairs.pairs[0].key == "tuxpaint/birds/owl");
  CHECK(pairs.pairs[1].key == "tuxpaint/birds/uhu");
  CHECK(pairs.notes.size() == 1);
}
