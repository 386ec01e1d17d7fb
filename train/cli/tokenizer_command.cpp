// cuclip tokenizer: learns BPE merges from captions; shows what a text becomes, and the reverse.
#include "models/text/tokenizer.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/common/check.h"
#include "models/files/names.h"
#include "models/files/text_file.h"
#include "models/inference/model_source.h"
#include "models/text/bpe_trainer.h"
#include "train/cli/commands.h"
#include "train/cli/flag_values.h"
#include "train/cli/output_files.h"
#include "train/cli/printing.h"

namespace cuclip {
namespace {

constexpr int kOneLine = -1;  // json_text's indentation

struct Options {
  std::string captions;
  std::string out;
  std::string tokenizer;
  int64_t vocab_size = 4096;
  int64_t context_length = 0;
  std::vector<std::string> texts;
  std::vector<int32_t> ids;
  bool json = false;
};

// Every text given or, if none is, every line of standard input as soon as it comes: the program that writes
// them may be waiting for the answer.
void for_each_text(const std::vector<std::string>& given,
                   const std::function<void(const std::string&)>& work) {
  for (const std::string& text : given) work(text);
  if (!given.empty()) return;
  for_each_input_line([&](const std::string& line) {
    work(line);
    std::fflush(stdout);  // what fails is seen at the end
  });
}

void train(const Options& options) {
  const bool gzip = std::filesystem::path(options.out).extension() == ".gz";
  check_can_write(options.out, gzip ? OutputKind::gzip : OutputKind::merges, {options.captions});
  const std::vector<std::string> captions = read_all_lines(options.captions);
  const Tokenizer tokenizer = train_bpe(captions, options.vocab_size);
  tokenizer.save(options.out);
  if (tokenizer.vocab_size() < options.vocab_size) {
    fmt::print(
        stderr,
        "cuclip tokenizer: no remaining pair occurs twice, so the vocabulary is smaller than requested\n");
  }
  if (options.json) {
    nlohmann::ordered_json result = {{"captions", captions.size()},
                                     {"merges", tokenizer.merges().size()},
                                     {"vocab_size", tokenizer.vocab_size()}};
    put_name(result, "out", options.out);
    print_json(result, kOneLine);
  } else {
    fmt::print("{} captions -> {} merges, a vocabulary of {}: {}\n", captions.size(),
               tokenizer.merges().size(), tokenizer.vocab_size(), escaped_name(options.out));
  }
}

void encode(const Options& options) {
  for (const std::string& text : options.texts) {
    CUCLIP_CHECK(is_utf8(text), "tokenizer encode: expected UTF-8, found \"{}\"", escaped_name(text));
  }
  const Tokenizer tokenizer = load_tokenizer(options.tokenizer);
  for_each_text(options.texts, [&](const std::string& text) {
    const std::vector<int32_t> ids = options.context_length > 0
                                         ? tokenizer.encode_padded({&text, 1}, options.context_length)
                                         : tokenizer.encode_with_specials(text);
    if (options.json) {
      const nlohmann::ordered_json result = {{"text", text}, {"ids", ids}};
      print_json(result, kOneLine);
    } else {
      fmt::print("{}\n", fmt::join(ids, " "));
    }
  });
}

std::vector<int32_t> parse_ids(const std::string& line) {
  std::istringstream in(line);
  std::vector<int32_t> ids;
  for (std::string word; in >> word;) {
    size_t used = 0;
    int32_t id = -1;
    try {
      id = std::stoi(word, &used);
    } catch (const std::exception&) {
    }
    CUCLIP_CHECK(used == word.size(), "tokenizer decode: expected ids separated by spaces, found \"{}\"",
                 word);
    ids.push_back(id);
  }
  return ids;
}

void decode(const Options& options) {
  const Tokenizer tokenizer = load_tokenizer(options.tokenizer);
  const auto show = [&](const std::vector<int32_t>& ids) {
    const std::string text = tokenizer.decode(ids);
    if (options.json) {
      const nlohmann::ordered_json result = {{"ids", ids}, {"text", text}};
      print_json(result, kOneLine);
    } else {
      fmt::print("{}\n", text);
    }
  };
  if (!options.ids.empty()) return show(options.ids);
  for_each_text({}, [&](const std::string& line) { show(parse_ids(line)); });
}

}  // namespace

void add_tokenizer_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("tokenizer", "Learn BPE merges from captions; encode and decode text");
  command->require_subcommand(1);
  command->footer(
      "Example:\n"
      "  cuclip tokenizer train --captions captions.txt --vocab-size 4096 --out tokenizer.txt.gz\n"
      "  cuclip tokenizer encode --tokenizer tokenizer.txt.gz \"a photo of a fox\"\n"
      "  cuclip tokenizer decode --tokenizer tokenizer.txt.gz 4094 320 1125 4095");
  const auto add_common = [&](CLI::App* sub) {
    sub->add_option("--tokenizer", options->tokenizer,
                    "Merges file in CLIP's format, .gz or plain, or a model's folder")
        ->required();
    sub->add_flag("--json", options->json, "One JSON object per line");
  };

  CLI::App* learn = command->add_subcommand("train", "Learn merges, in CLIP's file format");
  learn
      ->add_option("--captions", options->captions,
                   "Text file with one caption per line; - for standard input")
      ->required();
  limit(learn->add_option("--vocab-size", options->vocab_size,
                          "Ids: 512 bytes, the merges, start and end of text (514 to 49408)"),
        WholeRange{514, 49408})
      ->capture_default_str();
  never_empty(learn->add_option("--out", options->out, "Merges file to write; compressed if it ends in .gz"))
      ->required();
  learn->add_flag("--json", options->json, "Print the result as JSON");
  learn->callback([options] { train(*options); });

  CLI::App* encoder = command->add_subcommand("encode", "Texts to ids, between start and end of text");
  add_common(encoder);
  limit(encoder->add_option("--context-length", options->context_length,
                            "Cut or pad with 0 to N ids; 0: as they are"),
        WholeRange{0, 65536})
      ->capture_default_str();
  encoder->add_option("text", options->texts, "Texts; without any, each line of standard input");
  encoder->callback([options] { encode(*options); });

  CLI::App* decoder = command->add_subcommand("decode", "Ids to text");
  add_common(decoder);
  limit(decoder->add_option("id", options->ids,
                            "Ids of one text; without any, one text per line of standard input"),
        WholeRange{0, std::numeric_limits<int32_t>::max()});
  decoder->callback([options] { decode(*options); });
}

}  // namespace cuclip
