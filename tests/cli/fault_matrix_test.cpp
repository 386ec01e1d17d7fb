// labels: release_only
// Every command x every kind of input x every fault: the exit code and the words of the message. The kinds
// and their faults are listed once; each command says what kind its arguments are. A command or an argument
// that is not listed here fails the first test, so that a new one inherits the faults.
#include <fmt/format.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "core/file_io.h"
#include "models/files/names.h"
#include "tests/cli/command_table.h"
#include "tests/support/command_help.h"
#include "tests/support/model_on_disk.h"
#include "tests/support/paths.h"

namespace cuclip::test {
namespace {

using namespace std::string_literals;
using Catch::Contains;
namespace fs = std::filesystem;

struct Fault {
  std::string value;
  std::string mention;  // of the message
  int exit_code = 2;
};

struct Matrix : ModelOnDisk {
  Matrix() {
    for (int i = 0; i < 8; ++i) {
      folder.write(fmt::format("pairs/{}.png", i), bmp_bytes(random_image(14 + i, 12)));
      folder.write(fmt::format("pairs/{}.txt", i), fmt::format("picture {}", i));
    }
    for (const std::string name : {"set/cat/1.png", "set/dog/1.png", "labelled/cat/1.png",
                                   "labelled/cat/2.png", "labelled/dog/1.png", "labelled/dog/2.png"})
      folder.write(name, bmp_bytes(random_image(15, 15)));
    tiny_tokenizer().save(folder / "merges.txt");
    folder.write("lines.txt", "one one\ntwo\n");
    folder.write("classes.txt", "cat\ndog\n");
    folder.write("words.txt", "picture\n");
    folder.write("templates.txt", "a {}\n");
    folder.write("settings.toml", "epochs = 1\n");
    make_faults();
  }

  void make_faults() const {
    folder.write("empty", "");
    folder.write("blank", "\n \t\n\u00A0\n");
    folder.write("nul", "a\0b\n"s);
    folder.write("utf32", "\xFF\xFE\0\0a\0\0\0"s);
    folder.write("latin", "ok\ncaf\xE9\n");
    folder.write("page.html", "<!DOCTYPE html><html></html>");
    folder.write("page.csv", "<!DOCTYPE html><html></html>");
    folder.write("empty.csv", "");
    folder.write("no-rows.csv", "filepath,title,label\n");
    folder.write("unknown.toml", "epoch = 1\n");
    folder.write("bare.toml", "epochs = 1\nlr\n");
    folder.write("broken.toml", "[[[\n= =\n");
    fs::create_directories(folder / "nothing");
    for (const std::string extension : {"", ".png", ".safetensors", ".json", ".csv"})
      REQUIRE(::mkfifo(at("pipe" + extension).c_str(), 0600) == 0);
    for (const char* extension : {".npy", ".txt", ".svg", ".png", ".html", ".safetensors", ".cuclip-index"})
      fs::create_directories(folder / ("folder"s + extension));
    REQUIRE(cuclip({"index", pictures, "--out", folder / "good.cuclip-index"}).exit_code == 0);
    const std::string index = read_file(folder / "good.cuclip-index");
    folder.write("cut.cuclip-index", index.substr(0, index.size() - 5));
    std::string newer = index;
    newer.replace(newer.find("cuclip-index 2"), 14, "cuclip-index 3");
    folder.write("newer.cuclip-index", newer);
  }

  std::string at(const std::string& name) const { return (folder / name).string(); }

  // Missing, a folder, a name that is too long, a name that would steer a terminal.
  std::vector<Fault> no_file(const std::string& extension = "") const {
    const std::string missing = "missing" + extension;
    return {{at(missing), missing},
            {at("nothing"), "nothing"},
            {std::string(300, 'x') + extension, "xxx"},
            {at("a\x1b[31m\nb\xFF" + extension), "[31m"}};
  }

  // A pipe and a device without end, beside what no_file lists. (Pictures and lists may come through a pipe:
  // interrupt_test has one that nobody writes into.)
  std::vector<Fault> no_regular_file(const std::string& extension = "") const {
    std::vector<Fault> all = no_file(extension);
    for (const std::string& name : {at("pipe" + extension), "/dev/zero"s})
      all.push_back({name, "regular file"});
    return all;
  }

  std::vector<Fault> faults_of_lines(const std::string& none) const {
    std::vector<Fault> faults = no_file();
    faults.push_back({"/dev/zero", "regular file"});
    for (const char* name : {"empty", "blank"}) faults.push_back({at(name), none});
    faults.push_back({at("nul"), "NUL byte in line 1"});
    faults.push_back({at("utf32"), "UTF-32"});
    faults.push_back({at("latin"), "line 2: expected UTF-8, found \"caf\\xe9\""});
    return faults;
  }

  std::vector<Fault> faults_of_text(const std::string& empty,
                                    const std::string& blank = "only blanks") const {
    std::vector<Fault> faults = {{"", empty}, {"caf\xE9", "expected UTF-8, found \"caf\\xe9\""}};
    for (const std::string text : {"   ", "\t\n", "\u00A0", "\u200B"}) faults.push_back({text, blank});
    return faults;
  }

  std::vector<Fault> faults_of_out(const std::string& good) const {
    const std::string extension = fs::path(good).extension().string();
    return {{at("no/such/folder/x" + extension), "there is no folder"},
            {at("empty/x" + extension), "there is no folder"},
            {at("folder" + extension), "folder"},
            {"/proc/x" + extension, "cannot", 1},
            {"", " must not be empty"}};
  }

  std::vector<Fault> faults_of_data_set() const {
    return {{at("missing.tar"), "missing.tar"}, {at("missing"), "missing"},
            {at("nothing"), "nothing"},         {at("page.html"), "page.html"},
            {at("page.csv"), "column"},         {at("empty.csv"), "empty.csv"},
            {at("no-rows.csv"), "no-rows.csv"}, {"synthetic:cats", "synthetic:shapes"},
            {at("pipe.csv"), "regular file"}};
  }

  std::vector<Fault> faults_of_classes() const {
    return {{at("missing"), "missing"},      {at("nothing"), "nothing"},
            {at("pictures/0.png"), ".csv"},  {at("no-rows.csv"), "no row"},
            {at("empty.csv"), "empty"},      {"synthetic:cats", "synthetic:shapes"},
            {at("pipe.csv"), "regular file"}};
  }

  std::vector<Fault> faults_of_label_lists() const {
    return {{"a,,b", "label 2"},           {"a, \u00A0", "label 2"}, {at("empty"), "one entry per line"},
            {"/dev/zero", "regular file"}, {at("latin"), "line 2"},  {at("nothing"), "folder"}};
  }

  std::vector<Fault> faults_of_index() const {
    return {{at("empty"), "empty"},
            {at("page.html"), "page.html"},
            {run + "/checkpoints/step-3/model.safetensors", "expected an index"},
            {at("cut.cuclip-index"), "cut.cuclip-index"},
            {at("newer.cuclip-index"), "another version"}};
  }

  std::vector<Fault> faults(const Argument& argument) const {
    const auto with = [](std::vector<Fault> all, const std::vector<Fault>& more) {
      all.insert(all.end(), more.begin(), more.end());
      return all;
    };
    const Fault empty = {at("empty"), "empty"}, page = {at("page.html"), "page.html"};
    switch (argument.kind) {
      case Kind::picture:
      case Kind::pictures:
        return with(no_file(".png"), {empty, page, {"/dev/zero", "/dev/zero"}});
      case Kind::text:
        return faults_of_text("must not be empty");
      case Kind::lines:
        return faults_of_lines("one entry per line");
      case Kind::captions:
        return faults_of_lines("no word to learn from");
      case Kind::labels:
        return with(faults_of_text("must not be empty", "must not be empty"), faults_of_label_lists());
      case Kind::model:
      case Kind::weights:
        return with(no_regular_file(".safetensors"), {empty, page});
      case Kind::config:
        return with(no_regular_file(".json"), {empty, page, {"no-such-model", "no-such-model"}});
      case Kind::merges:
        return with(no_regular_file(), {page});
      case Kind::index:
        return with(no_regular_file(), faults_of_index());
      case Kind::data_set:
        return faults_of_data_set();
      case Kind::classes:
        return faults_of_classes();
      case Kind::run:
        return with(no_file(), {empty});
      case Kind::checkpoint:
        return no_file();
      case Kind::settings:
        return with(no_regular_file(), {{at("bare.toml"), "line 2: expected KEY = VALUE, found \"lr\""},
                                        {at("unknown.toml"), "'epoch' is not a setting"},
                                        {at("broken.toml"), "broken.toml"}});
      case Kind::out_file:
        return faults_of_out(argument.good);
      case Kind::out_model:
        return {{at("empty/x.safetensors"), "there is no folder"},
                {at("folder.safetensors"), "folder"},
                {"/proc/x/m.safetensors", "there is no folder"},
                {"", "--out must not be empty"}};
      case Kind::out_folder:
        return {{at("empty/x"), "cannot", 1},
                {at("empty"), "cannot", 1},
                {"/proc/x", "cannot", 1},
                {"", "--out"}};
      case Kind::choice:
        return {{"no-such-choice", argument.name}, {"", argument.name}};
      case Kind::column:
        return {};
    }
    return {};
  }

  // The command line with one argument's value replaced; "@" names are below the folder.
  Words line(const Command& command, const Argument* faulty, const std::string& value) const {
    Words line = command.words;
    for (const Argument& argument : command.arguments) {
      const bool here = &argument == faulty;
      if (!here && argument.good.empty()) continue;
      if (argument.name.starts_with("-")) line.push_back(argument.name);
      const bool below = argument.good.starts_with("@");
      const std::string good = below ? at(argument.good.substr(1)) : argument.good;
      // A folder that has a run in it would be refused for that.
      const bool fresh = faulty && argument.kind == Kind::out_folder;
      line.push_back(here ? value : good + (fresh ? "-2" : ""));
    }
    line.insert(line.end(), command.more.begin(), command.more.end());
    return line;
  }
};

// A command that waits for ever is ended, with exit code 124.
CommandResult run_with_deadline(const Words& line) {
  Words words = {"120", cuclip_executable()};
  words.insert(words.end(), line.begin(), line.end());
  return run_program("/usr/bin/timeout", words);
}

void check_message(const CommandResult& result, const Fault& fault) {
  CHECK(result.exit_code == fault.exit_code);
  CHECK(result.out.empty());
  CHECK_THAT(result.err, Contains(fault.mention) && Contains("cuclip"));
  // For people, on a terminal, and about what they did; not about our libraries.
  CHECK(escaped_text(result.err) == result.err);
  for (const char* words :
       {"filesystem error", "too long [", "terminate", "json.exception", "basic_string", "stoi"})
    CHECK_THAT(result.err, !Contains(words));
}

TEST_CASE("the fault table covers every command, and every argument that is text") {
  std::map<Words, std::set<std::string>> known;
  for (const Command& command : commands()) {
    for (const Argument& argument : command.arguments) known[command.words].insert(argument.name);
    known[command.words];
  }
  for (const Words& command : helped_commands()) {
    INFO("cuclip " << command.front() << " " << command.back() << ": list it in command_table.h");
    REQUIRE(known.count(command) == 1);
    for (const HelpedArgument& argument : helped_arguments(command)) {
      INFO(argument.name << ": say of what kind it is");
      const bool is_text = argument.type == "TEXT" || argument.name == "--config";
      CHECK((known[command].erase(argument.name) == 1) == is_text);
    }
    for (const std::string& name : known[command]) FAIL_CHECK("there is no " << name);
  }
}

TEST_CASE_METHOD(Matrix, "every command works, and says of every faulty input what is wrong with it") {
  for (const Command& command : commands()) {
    const Words good = line(command, nullptr, "");
    INFO(fmt::format("{}", fmt::join(good, " ")));
    const CommandResult result = run_cuclip(good);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    for (const Argument& argument : command.arguments) {
      for (const Fault& fault : faults(argument)) {
        const Words bad = line(command, &argument, fault.value);
        const CommandResult refused = run_with_deadline(bad);
        INFO(argument.name << " \"" << fault.value << "\"\n" << refused.err);
        check_message(refused, fault);
      }
    }
  }
}

TEST_CASE_METHOD(Matrix, "lists come from standard input, and from any editor") {
  for (const Command& command : commands()) {
    for (const Argument& argument : command.arguments) {
      const bool captions = argument.kind == Kind::captions;
      if (argument.kind != Kind::lines && argument.kind != Kind::labels && !captions) continue;
      const std::string text =
          read_file(at(argument.kind == Kind::labels ? "classes.txt" : argument.good.substr(1)));
      std::string wide = "\xFF\xFE";
      for (const char c : text) wide += std::string{c, '\0'};
      for (const std::string& bytes : std::vector{text, "\xEF\xBB\xBF" + text, wide}) {
        std::string script = "exec '" + cuclip_executable() + "'";
        for (const std::string& word : line(command, &argument, "-")) script += " '" + word + "'";
        INFO(script);
        const CommandResult result =
            run_program("/bin/bash", {"-c", script + " < '" + folder.write("stdin", bytes).string() + "'"});
        INFO(result.err);
        CHECK(result.exit_code == 0);
        // The same file once more is at its end.
        const CommandResult none = run_program("/bin/bash", {"-c", script});
        CHECK(none.exit_code == 2);
        CHECK_THAT(none.err,
                   Contains(captions ? "no word to learn from" : "standard input: expected one entry"));
      }
    }
  }
}

TEST_CASE_METHOD(Matrix, "a column that was named must be in the table, and a separator is one character") {
  const std::string table =
      folder.write("columns.csv", "filepath,title,label\npictures/0.png,a,cat\npictures/1.png,b,dog\n");
  for (const Command& command : commands()) {
    for (const Argument& column : command.arguments) {
      if (!column.name.starts_with("--csv-")) continue;
      const auto with = [&](const std::string& value) {
        Words words = line(command, nullptr, "");
        for (std::string& word : words) {
          if (word == at("pairs") || word == at("set")) word = table;
          if (word == at("trained") || word == at("prepared")) word += "-from-columns";
        }
        words.insert(words.end(), {column.name, value});
        INFO(fmt::format("{}", fmt::join(words, " ")));
        return run_with_deadline(words);
      };
      const bool separator = column.name == "--csv-separator";
      for (const std::string value : {"no such column", "ab"}) {
        const CommandResult result = with(value);
        INFO(column.name << " " << value << "\n" << result.err);
        CHECK(result.exit_code == 2);
        CHECK_THAT(result.err,
                   Contains(value) && Contains(separator ? "one character" : "filepath, title, label"));
      }
    }
  }
}

TEST_CASE_METHOD(Matrix, "a pipe or a device in a table is a bad sample") {
  const std::string table = folder.write(
      "pairs.csv", "filepath,title\npairs/0.png,a\npipe.png,b\n/dev/zero,c\n/dev/full,d\npairs/1.png,e\n");
  const CommandResult result = run_with_deadline({"data", "stats", table});
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.out,
             Contains("unreadable file                      3") && Contains("not a regular file"));
}

TEST_CASE_METHOD(Matrix, "what is larger than any picture or list is not read") {
  for (const char* name : {"large.png", "large.txt"}) {
    folder.write(name, "");
    fs::resize_file(folder / name, kMaxReadBytes + 1);
  }
  for (const Words& line : {Words{"classify", at("large.png"), "--labels", "a,b", "--model", run},
                            {"classify", picture(0), "--labels", at("large.txt"), "--model", run}}) {
    const CommandResult result = run_with_deadline(line);
    INFO(result.err);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Contains("expected at most 1073741824 bytes, found more"));
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they need the address space
TEST_CASE_METHOD(Matrix, "a command without memory says so by its name") {
  folder.write("large.txt", "");
  fs::resize_file(folder / "large.txt", kMaxReadBytes - 1);
  const std::string train = "ulimit -v 900000; exec '" + cuclip_executable() +
                            "' tokenizer train --captions '" + at("large.txt") + "' --out '" + at("m.txt") +
                            "'";
  const CommandResult result = run_program("/bin/bash", {"-c", train});
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.err, Contains("cuclip tokenizer train: out of memory") && !Contains("bad_alloc"));
}
#endif

}  // namespace
}  // namespace cuclip::test
