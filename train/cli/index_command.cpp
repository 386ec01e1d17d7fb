// cuclip index: the features of many pictures in one file, for cuclip search.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "core/counted.h"
#include "core/file_io.h"
#include "models/files/names.h"
#include "models/inference/encode.h"
#include "models/inference/folder_indexer.h"
#include "train/cli/commands.h"
#include "train/cli/flag_values.h"
#include "train/cli/index_saver.h"
#include "train/cli/model_flags.h"
#include "train/cli/output_files.h"
#include "train/cli/printing.h"
#include "train/cli/session.h"
#include "train/data/sample_store.h"

namespace cuclip {
namespace {
enum class StoredType { fp32, bf16 };
}  // namespace
template <>
inline constexpr std::array<std::string_view, 2> kWords<StoredType>{"fp32", "bf16"};

namespace {

namespace fs = std::filesystem;

struct Options {
  ModelFlags model;
  std::string source, out;
  StoredType store = StoredType::fp32;
  bool json = false;
};

// The data set's name with every part as an absolute path, so that the index can be used from anywhere.
std::string absolute_spec(const std::string& spec) {
  std::string result;
  for (const std::string& part : joined_specs(spec)) {
    if (!result.empty()) result += "::";
    result += part.starts_with("synthetic:") ? part : fs::absolute(part).lexically_normal().string();
  }
  return result;
}

struct Indexed {
  FeatureIndex index;
  FolderIndexer::Counts counts;
  std::vector<UnreadablePicture> passed_over;
  std::vector<std::string> damaged;
};

bool is_written(const std::string& file) {
  std::error_code unknown;
  return path_exists(file) && fs::file_size(file, unknown) > 0;
}

// What the index that is there gives for one like `wanted`; otherwise says why that is nothing.
std::optional<FeatureIndex> reusable_index(Session& session, const std::string& file,
                                           const FeatureIndex& wanted) {
  if (!is_written(file)) return std::nullopt;
  std::string why;
  try {
    FeatureIndex earlier = load_index(session.context.host(), file);
    if (earlier.is_folder && earlier.source != wanted.source)
      warn(
          fmt::format("{} was the index of {}, and becomes that of {}", file, earlier.source, wanted.source));
    why = why_not_reusable(earlier, wanted, session.model().config().embed_dim);
    if (why.empty()) return earlier;
    why = file + " " + why;
  } catch (const InputError& error) {
    why = error.what();
  }
  warn(why + "; all pictures are encoded anew");
  return std::nullopt;
}

Indexed index_folder(Session& session, const Options& options, const FeatureIndex& about) {
  std::vector<std::string> notes;
  std::vector<PictureFile> files = list_pictures(options.source, notes);
  print_notes(notes);
  const std::optional<FileStamp> before = stamp_at(options.out);
  FolderIndexer indexer(session.model(), about, options.source, std::move(files),
                        reusable_index(session, options.out, about));
  IndexSaver saver(indexer, options.out, before);
  const EncodeProgress show = progress_to_terminal("indexed", indexer.to_do());
  indexer.run([&](int64_t done) {
    saver.save_if_due();
    if (show) show(done);
  });
  Indexed result{.index = indexer.snapshot(),
                 .counts = indexer.counts(),
                 .passed_over = indexer.passed_over(),
                 .damaged = indexer.damaged()};
  saver.finish(result.index);
  return result;
}

Indexed index_dataset(const Session& session, const Options& options, const FeatureIndex& about) {
  const auto dataset = open_dataset(options.source);
  print_notes(dataset->notes());
  if (is_written(options.out)) warn("the pictures of a data set are always all encoded anew");
  if (dataset->bad().count > 0) warn("samples left out: " + dataset->bad().summary());
  std::vector<std::string> keys(static_cast<size_t>(dataset->size()));
  EncodedPictures encoded = encode_pictures(
      session.model(), dataset->size(),
      [&](int64_t i) {
        DecodedSample sample = decode_sample(*dataset, i);
        keys[static_cast<size_t>(i)] = std::move(sample.key);
        return std::move(sample.picture);
      },
      progress_to_terminal("indexed", dataset->size()));
  Indexed result{.index = about,
                 .counts = {.encoded = std::ssize(encoded.kept)},
                 .passed_over = std::move(encoded.unreadable),
                 .damaged = std::move(encoded.damaged)};
  result.index.features = encoded.features;
  for (const int64_t i : encoded.kept) {
    result.index.names.push_back(keys[static_cast<size_t>(i)]);
    result.index.rows.push_back(i);
  }
  save_index(result.index, options.out);
  return result;
}

// All that an index has besides its rows.
FeatureIndex index_to_make(const Options& options, const ClipModel& model) {
  FeatureIndex about = index_to_make(options.source, model, options.model.model, options.model.precision);
  about.is_folder = is_folder(options.source);
  if (!about.is_folder) about.source = absolute_spec(options.source);
  about.stored = options.store == StoredType::bf16 ? DType::bf16 : DType::f32;
  return about;
}

void print_summary(const Options& options, const Indexed& made) {
  const auto& [encoded, unchanged, moved, removed] = made.counts;
  if (options.json) {
    nlohmann::ordered_json json;
    put_name(json, "out", options.out);
    json["pictures"] = made.index.names.size();
    json["dimensions"] = made.index.features.size(1);
    json["encoded"] = encoded;
    json["unchanged"] = unchanged;
    json["moved"] = moved;
    json["removed"] = removed;
    json["unreadable"] = unreadable_json(made.passed_over);
    json["damaged_pictures_used"] = made.damaged.size();
    return print_json(json);
  }
  fmt::print("{}: {}: {} encoded, {} unchanged, {} moved or copied, {} removed, {} passed over{}\n",
             escaped_name(options.out), counted(std::ssize(made.index.names), "picture"), encoded, unchanged,
             moved, removed, made.passed_over.size(),
             made.passed_over.empty()
                 ? ""
                 : fmt::format(" (first: {})", escaped_name(made.passed_over.front().reason)));
}

void run_index(const Options& options) {
  // Only an index is written over: never a picture or a shard that is itself to be indexed.
  check_can_write(options.out, OutputKind::index, inputs_with(options.model, {}));
  Session session(options.model);
  const FeatureIndex about = index_to_make(options, session.model());
  const Indexed made =
      about.is_folder ? index_folder(session, options, about) : index_dataset(session, options, about);
  report_unreadable(made.passed_over);
  report_damaged(made.damaged);
  print_summary(options, made);
}

constexpr const char* kIndexFooter =
    R"(Run again, it brings the index of a folder up to date: pictures that are new or changed are encoded, those
that were moved keep their features, those that are gone leave the index. A picture is taken to be unchanged
if its name, size and time are as before; if only its size is, or another had both, its contents decide.
With another model, --precision or --store all are encoded anew, and so are those of shards, a .csv or a
.tsv. SIGINT (Ctrl-C), SIGTERM and SIGHUP save what is done; SIGKILL costs half a minute's work at most. The
same command continues.
Example:
  cuclip index photos/ --out photos.cuclip-index --model runs/mine)";

}  // namespace

void add_index_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("index", "Index a folder of pictures for search");
  command
      ->add_option("source", options->source,
                   "Folder of pictures (subfolders included), or shards, a .csv or .tsv")
      ->required();
  never_empty(command->add_option("--out", options->out, "Index file to write, such as FILE.cuclip-index"))
      ->required();
  add_choice(command, "--store", options->store, "Features in fp32 or bf16 (half the size)");
  command->add_flag("--json", options->json, kJsonHelp);
  add_model_flags(command, options->model);
  command->footer(kIndexFooter);
  command->callback([options] { run_index(*options); });
}

}  // namespace cuclip
