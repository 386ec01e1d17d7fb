// cuclip index: the features of many pictures in one file, for cuclip search.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "core/counted.h"
#include "core/file_io.h"
#include "models/files/names.h"
#include "models/files/picture_files.h"
#include "models/image/image_decode.h"
#include "models/inference/encode.h"
#include "models/inference/feature_index.h"
#include "train/cli/commands.h"
#include "train/cli/flag_values.h"
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
  std::vector<UnreadablePicture> unreadable;
  std::vector<std::string> damaged;
};

Indexed index_folder(const Session& session, const std::string& folder) {
  std::vector<std::string> notes;
  const std::vector<fs::path> files = find_pictures(folder, notes);
  print_notes(notes);
  EncodedPictures encoded =
      encode_picture_files(session.model(), files, progress_to_terminal("indexed", std::ssize(files)));
  Indexed result{
      .index = {}, .unreadable = std::move(encoded.unreadable), .damaged = std::move(encoded.damaged)};
  result.index.source = fs::absolute(folder).lexically_normal();
  result.index.is_folder = true;
  result.index.features = encoded.features;
  for (const int64_t i : encoded.kept) {
    result.index.names.push_back(files[static_cast<size_t>(i)].lexically_relative(folder));
    result.index.rows.push_back(i);
  }
  return result;
}

Indexed index_dataset(const Session& session, const std::string& spec) {
  const auto dataset = open_dataset(spec);
  print_notes(dataset->notes());
  if (dataset->bad().count > 0) warn("samples left out: " + dataset->bad().summary());
  std::vector<std::string> keys(static_cast<size_t>(dataset->size()));
  EncodedPictures encoded = encode_pictures(
      session.model(), dataset->size(),
      [&](int64_t i) {
        DecodedSample sample = decode_sample(*dataset, i, DecodeLimits{}.max_pixels);
        keys[static_cast<size_t>(i)] = std::move(sample.key);
        return std::move(sample.picture);
      },
      progress_to_terminal("indexed", dataset->size()));
  Indexed result{
      .index = {}, .unreadable = std::move(encoded.unreadable), .damaged = std::move(encoded.damaged)};
  result.index.source = absolute_spec(spec);
  result.index.is_folder = false;
  result.index.features = encoded.features;
  for (const int64_t i : encoded.kept) {
    result.index.names.push_back(keys[static_cast<size_t>(i)]);
    result.index.rows.push_back(i);
  }
  return result;
}

void run_index(const Options& options) {
  // Only an index is written over: never a picture or a shard that is itself to be indexed.
  check_can_write(options.out, OutputKind::index, inputs_with(options.model, {}));
  Session session(options.model);
  Indexed made = is_folder(options.source) ? index_folder(session, options.source)
                                           : index_dataset(session, options.source);
  report_unreadable(made.unreadable);
  report_damaged(made.damaged);
  FeatureIndex& index = made.index;
  index.model = path_exists(options.model.model)
                    ? fs::absolute(options.model.model).lexically_normal().string()
                    : options.model.model;
  index.model_fingerprint = model_fingerprint(session.model());
  save_index(index, options.out, options.store == StoredType::bf16 ? DType::bf16 : DType::f32);
  if (options.json) {
    nlohmann::ordered_json json;
    put_name(json, "out", options.out);
    json["pictures"] = index.names.size();
    json["dimensions"] = index.features.size(1);
    json["unreadable"] = unreadable_json(made.unreadable);
    json["damaged_pictures_used"] = made.damaged.size();
    return print_json(json);
  }
  fmt::print("{}: {}, {} left out\n", escaped_name(options.out), counted(std::ssize(index.names), "picture"),
             made.unreadable.size());
}

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
  command->footer("Example:\n  cuclip index photos/ --out photos.cuclip-index --model runs/mine");
  command->callback([options] { run_index(*options); });
}

}  // namespace cuclip
