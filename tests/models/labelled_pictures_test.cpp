#include "models/inference/labelled_pictures.h"

#include <catch2/catch.hpp>

#include "kernels/common/check.h"
#include "tests/support/command.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Names = std::vector<std::string>;

struct Fixture {
  Fixture() {
    for (const std::string name : {"set/red_car/1.png", "set/red_car/2.jpg", "set/dog/x.png"})
      folder.write(name, "");
    folder.write("set/readme.txt", "");
  }
  TemporaryFolder folder;
};

TEST_CASE_METHOD(Fixture, "a folder a class: classes sorted, underscores read as blanks") {
  const LabelledPictures set = read_labelled_pictures(folder / "set");
  CHECK(set.classes == Names{"dog", "red car"});
  CHECK(set.labels == std::vector<int32_t>{0, 1, 1});
  CHECK(set.files[1].filename() == "1.png");
}

TEST_CASE_METHOD(Fixture, "pictures beside the class folders are no class's, and noted") {
  folder.write("set/1.png", "");
  folder.write("set/2.JPG", "");
  const LabelledPictures set = read_labelled_pictures(folder / "set");
  CHECK(set.files.size() == 3);
  REQUIRE(set.notes.size() == 1);
  CHECK_THAT(set.notes[0], Contains("passed over 2 pictures beside the class folders, for example 1.png"));
}

TEST_CASE_METHOD(Fixture, "a classes file gives order and names, and classes without pictures") {
  folder.write("classes.txt", "red_car\tcrimson automobile\r\nsheep\ndog\n");
  const LabelledPictures set = read_labelled_pictures(folder / "set", folder / "classes.txt");
  CHECK(set.classes == Names{"crimson automobile", "sheep", "dog"});
  CHECK(set.labels == std::vector<int32_t>{2, 0, 0});
}

TEST_CASE_METHOD(Fixture, "a table of labels") {
  folder.write("labels.csv", "label,other,filepath\n\"big, dog\",1,set/dog/x.png\ncar,2,/abs/1.png\n");
  const LabelledPictures set = read_labelled_pictures(folder / "labels.csv");
  CHECK(set.classes == Names{"big, dog", "car"});
  CHECK(set.files[0] == folder / "set/dog/x.png");
  CHECK(set.files[1] == "/abs/1.png");
  folder.write("labels.tsv", "img\tname\na.png\tdog\n");
  CHECK(read_labelled_pictures(folder / "labels.tsv", "", "img", "name").classes == Names{"dog"});
}

TEST_CASE_METHOD(Fixture, "lists and tables of any editor: marks, blanks, line ends, separators") {
  for (const std::string list : {"\xEF\xBB\xBFred_car\tcrimson\ndog\n",
                                 "red_car \tcrimson\u00A0\r\ndog  \r\n", "red_car\tcrimson\rdog\r"}) {
    folder.write("classes.txt", list);
    CHECK(read_labelled_pictures(folder / "set", folder / "classes.txt").classes == Names{"crimson", "dog"});
  }
  for (const std::string table : {"\xEF\xBB\xBF"
                                  "filepath,label\na.png,dog\n",
                                  "filepath;label\r\na.png;dog \r\n", "filepath\tlabel\ra.png\tdog\r"}) {
    folder.write("labels.csv", table);
    CHECK(read_labelled_pictures(folder / "labels.csv").classes == Names{"dog"});
  }
}

TEST_CASE_METHOD(Fixture, "what does not fit is refused with its place") {
  folder.write("dogs.txt", "dog\n");
  folder.write("twice.txt", "red_car\n\ndog\nsheep\ndog\tbig dog\n");
  folder.write("header.csv", "filepath,label\n");
  folder.write("columns.csv", "picture,label\na,b\n");
  folder.write("short.csv", "filepath,label\na.png,dog\nb.png\n");
  folder.write("flat/a.png", "");
  CHECK_THROWS_WITH(read_labelled_pictures(folder / "set", folder / "dogs.txt"), Contains("red_car"));
  CHECK_THROWS_WITH(read_labelled_pictures(folder / "set", folder / "twice.txt"),
                    Contains("line 5: the class \"dog\" is listed already, in line 3"));
  CHECK_THROWS_WITH(read_labelled_pictures(folder / "header.csv"), Contains("no row"));
  CHECK_THROWS_WITH(read_labelled_pictures(folder / "columns.csv"),
                    Contains("filepath") && Contains("picture, label"));
  CHECK_THROWS_WITH(read_labelled_pictures(folder / "short.csv"), Contains("line 3"));
  folder.write("named.csv", "file,label\na,b\n");
  CHECK_THROWS_WITH(read_labelled_pictures(folder / "named.csv", "", "filepath"),
                    Contains("filepath") && Contains("file, label"));
  folder.write("blank.csv", "filepath,label\na.png,dog\nb.png,\u00A0 \n");
  folder.write("blank.txt", "dog\n\tname\n");
  CHECK_THROWS_WITH(read_labelled_pictures(folder / "blank.csv"), Contains("line 3: the label is blank"));
  CHECK_THROWS_WITH(read_labelled_pictures(folder / "set", folder / "blank.txt"), Contains("\\tname"));
  CHECK_THROWS_WITH(read_labelled_pictures(folder / "flat"), Contains("no folder"));
  CHECK_THROWS_WITH(read_labelled_pictures(folder / "dogs.txt"), Contains(".csv"));
  CHECK_THROWS_WITH(read_labelled_pictures(folder / "missing"), Contains("no such"));
}

}  // namespace
}  // namespace cuclip::test
