// The commands of cuclip and the kinds of their arguments: what the matrix of faults is made of.
#pragma once

#include <string>
#include <vector>

namespace cuclip::test {

using Words = std::vector<std::string>;

enum class Kind {
  picture,     // one file
  pictures,    // a file or a folder
  text,        // a query, a caption
  lines,       // a text file with one entry per line
  captions,    // such a file, in which blank lines count
  labels,      // "a,b" or such a file
  model,       // run, checkpoint, weights or name
  config,      // built-in name or JSON
  weights,     // safetensors
  merges,      // of a tokeniser
  index,       // of pictures
  data_set,    // shards, table or folder
  classes,     // pictures with labels
  run,         // a trained run's folder
  checkpoint,  // or "latest"
  settings,    // TOML
  out_file,
  out_model,  // a file, or a folder that is made
  out_folder,
  choice,  // one of a few words
  column,  // of a table, or its separator: wrong only where a table has none such
};

struct Argument {
  std::string name;  // "--model", or a positional's name
  Kind kind;
  std::string good;  // below the fixture's folder where it begins with "@"; "": only faults are given
};

struct Command {
  Words words;
  std::vector<Argument> arguments;
  Words more = {};  // flags that are not inputs
};

inline const std::vector<Argument> kModel = {{"--model", Kind::model, "@run"},
                                             {"--tokenizer", Kind::merges, ""},
                                             {"--config-name", Kind::config, ""},
                                             {"--device", Kind::choice, "cpu"},
                                             {"--precision", Kind::choice, "fp32"}};
inline const std::vector<Argument> kTable = {{"--csv-img-key", Kind::column, ""},
                                             {"--csv-caption-key", Kind::column, ""},
                                             {"--csv-separator", Kind::column, ""}};

inline Command command(Words words, std::vector<Argument> arguments,
                       const std::vector<std::vector<Argument>>& groups, Words more = {}) {
  for (const auto& group : groups) arguments.insert(arguments.end(), group.begin(), group.end());
  return {std::move(words), std::move(arguments), std::move(more)};
}

inline std::vector<Command> commands_before_a_model() {
  return {
      command({"train"},
              {{"--model", Kind::config, "cuclip-tiny"},
               {"--pretrained", Kind::weights, ""},
               {"--tokenizer", Kind::merges, "@merges.txt"},
               {"--train-data", Kind::data_set, "@pairs"},
               {"--val-data", Kind::data_set, "@pairs"},
               {"--precision", Kind::choice, "fp32"},
               {"--device", Kind::choice, "cpu"},
               {"--gemm", Kind::choice, "cuclip"},
               {"--resume", Kind::checkpoint, ""},
               {"--config", Kind::settings, "@settings.toml"},
               {"--out", Kind::out_folder, "@trained"}},
              {kTable}, {"--batch-size", "8", "--max-steps", "1", "--threads", "1"}),
      command({"data", "prepare"},
              {{"--from", Kind::data_set, "@pairs"}, {"--out", Kind::out_folder, "@prepared"}}, {kTable},
              {"--held-out", "0"}),
      command({"data", "stats"}, {{"spec", Kind::data_set, "@pairs"}}, {kTable}),
      command({"report"},
              {{"run", Kind::run, "@trained"},
               {"--train-data", Kind::data_set, "@pairs"},
               {"--val-data", Kind::data_set, "@pairs"},
               {"--out", Kind::out_folder, "@report"}},
              {}),
      command({"tokenizer", "train"},
              {{"--captions", Kind::captions, "@lines.txt"}, {"--out", Kind::out_file, "@learned.txt"}}, {}),
      command({"tokenizer", "encode"},
              {{"text", Kind::column, "a b"}, {"--tokenizer", Kind::merges, "@merges.txt"}}, {}),
      command({"tokenizer", "decode"}, {{"--tokenizer", Kind::merges, "@merges.txt"}}, {}),
  };
}

inline std::vector<Command> evaluations() {
  return {
      command({"eval", "retrieval"}, {{"--data", Kind::data_set, "@pairs"}}, {kModel, kTable}),
      command({"eval", "search"},
              {{"--data", Kind::data_set, "@pairs"},
               {"--words", Kind::lines, "@words.txt"},
               {"--templates", Kind::lines, "@templates.txt"},
               {"--threshold", Kind::choice, "auto"}},
              {kModel, kTable}),
      command({"eval", "zero-shot"},
              {{"--data", Kind::classes, "@set"},
               {"--classes", Kind::lines, "@classes.txt"},
               {"--templates", Kind::lines, "@templates.txt"},
               {"--csv-img-key", Kind::column, ""},
               {"--csv-label-key", Kind::column, ""},
               {"--corrupt", Kind::choice, "noise:1"},
               {"--confusion", Kind::out_file, "@confusion.svg"}},
              {kModel}),
      command({"eval", "probe"},
              {{"--data", Kind::classes, "@labelled"},
               {"--test-data", Kind::classes, "@set"},
               {"--csv-img-key", Kind::column, ""},
               {"--csv-label-key", Kind::column, ""},
               {"--corrupt", Kind::choice, "jpeg:5"},
               {"--confusion", Kind::out_file, "@confusion.png"}},
              {kModel}, {"--lambda", "1"}),
  };
}

inline std::vector<Command> commands_with_a_model() {
  return {
      command({"encode", "image"},
              {{"picture", Kind::pictures, "@pictures"}, {"--out", Kind::out_file, "@i.npy"}}, {kModel}),
      command({"encode", "text"},
              {{"text", Kind::text, "a b"},
               {"--texts-file", Kind::lines, "@lines.txt"},
               {"--layer", Kind::choice, "penultimate"},
               {"--padding", Kind::choice, "end"},
               {"--out", Kind::out_file, "@t.safetensors"}},
              {kModel}, {"--hidden-states"}),
      command({"classify"},
              {{"image", Kind::picture, "@pictures/0.png"},
               {"--labels", Kind::labels, "a,b"},
               {"--templates", Kind::lines, "@templates.txt"}},
              {kModel}),
      command({"matrix"},
              {{"--images", Kind::picture, "@pictures/0.png"},
               {"--texts", Kind::text, "a b"},
               {"--texts-file", Kind::lines, "@lines.txt"},
               {"--out", Kind::out_file, "@m.svg"}},
              {kModel}),
      command({"index"},
              {{"source", Kind::pictures, "@pictures"},
               {"--out", Kind::out_file, "@new.cuclip-index"},
               {"--store", Kind::choice, "bf16"}},
              {kModel}),
      command({"search"},
              {{"index", Kind::index, "@good.cuclip-index"},
               {"words", Kind::text, "a b"},
               {"--templates", Kind::lines, "@templates.txt"},
               {"--threshold", Kind::choice, "-1"},
               {"--contact-sheet", Kind::out_file, "@s.png"},
               {"--html", Kind::out_file, "@s.html"}},
              {kModel}),
      command({"search"},
              {{"index", Kind::index, "@good.cuclip-index"}, {"--image", Kind::picture, "@pictures/0.png"}},
              {kModel}),
      command({"convert"}, {{"--to", Kind::choice, "hf"}, {"--out", Kind::out_model, "@c.safetensors"}},
              {kModel}),
      command({"convert"}, {{"--shard-size", Kind::choice, "1MB"}, {"--out", Kind::out_folder, "@converted"}},
              {kModel}, {"--to", "hf"}),
      command({"info"}, {}, {}),
  };
}

/// All of them, in this order: a later one may use what an earlier one has written.
inline std::vector<Command> commands() {
  std::vector<Command> all = commands_before_a_model();
  for (const auto& more : {evaluations(), commands_with_a_model()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace cuclip::test
