#include "train/cli/converted_folder.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "core/file_io.h"
#include "core/file_lock.h"
#include "models/clip/hf_config.h"
#include "models/clip/hf_preprocessor.h"
#include "models/clip/weight_shards.h"
#include "models/files/gzip.h"
#include "models/text/hf_tokenizer.h"
#include "train/cli/interruption.h"
#include "train/cli/output_files.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using TextFiles = std::vector<std::pair<std::string, std::string>>;

constexpr const char* kMarked = "open_clip_config.json";
constexpr const char* kMarkKey = "written_by";
constexpr const char* kMark = "cuclip convert";

// What convert writes besides weights, in one folder or another.
constexpr std::array kTexts = {
    kMarked,      "config.json",           "preprocessor_config.json", "vocab.json",
    "merges.txt", "tokenizer_config.json", "tokenizer.txt.gz",         "special_tokens_map.json"};

// What open_clip or transformers would read before, or with, the files of ours; cuclip, other merges.
constexpr std::array kInTheWay = {"tokenizer.json",
                                  "added_tokens.json",
                                  "processor_config.json",
                                  "open_clip_model.safetensors",
                                  "open_clip_pytorch_model.safetensors",
                                  "open_clip_pytorch_model.bin"};

bool is_marked(const fs::path& folder) {
  if (!path_exists(folder / kMarked)) return false;
  const auto json = nlohmann::json::parse(read_file(folder / kMarked), nullptr, false);
  return json.is_object() && json.value(kMarkKey, nlohmann::json()) == kMark;
}

bool may_be_ours(const std::string& name) {
  return is_weights_name(name) || std::find(kTexts.begin(), kTexts.end(), name) != kTexts.end();
}

// The files of the folder that convert may have written.
std::vector<std::string> names_of_ours(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (may_be_ours(name)) names.push_back(name);
  }
  if (error) fail("cannot list the folder {}: {}", folder.string(), error.message());
  return names;
}

OutputKind kind_of_ours(const std::string& name) {
  return kind_of_name(name, name == "merges.txt" ? OutputKind::merges : OutputKind::json);
}

// A link's place is written through: what it leads to must not be another model's.
void check_link(const fs::path& file) {
  std::error_code unknown;
  const fs::path target = fs::weakly_canonical(file, unknown), there = target.parent_path();
  const bool elsewhere = there != fs::weakly_canonical(file.parent_path(), unknown);
  CUCLIP_CHECK(
      !elsewhere || (weights_in(there).empty() && config_in(there).empty()),
      "{} is a link to {}, which belongs to another model and would be overwritten; remove the link, "
      "or choose another folder for --out",
      file.string(), target.string());
}

void check_folder(const fs::path& folder, const std::vector<std::string>& inputs) {
  std::vector<std::string> in_the_way(kInTheWay.begin(), kInTheWay.end());
  for (const char* name : kMergesNames) {
    if (!may_be_ours(name)) in_the_way.push_back(name);
  }
  for (const std::string& name : in_the_way) {
    const std::string file = folder / name;
    CUCLIP_CHECK(!path_exists(file),
                 "{} exists, and would be read together with what convert writes, or instead of it; choose "
                 "another folder for --out",
                 file);
  }
  const bool ours = is_marked(folder);
  for (const std::string& name : names_of_ours(folder)) {
    const std::string file = folder / name;
    CUCLIP_CHECK(
        ours,
        "{} exists and was not written by convert; it would be overwritten. Choose another folder for "
        "--out",
        file);
    check_can_replace(file, kind_of_ours(name), inputs);
    check_link(file);
  }
}

// Why the model's tokeniser cannot go with it; empty if it can.
std::string tokenizer_problem(const LoadedModel& loaded) {
  if (!loaded.found_tokenizer) return "no tokeniser was found beside the weights, and --tokenizer not given";
  const int64_t made = loaded.found_tokenizer->vocab_size(),
                expected = loaded.model->config().text.vocab_size;
  if (made == expected) return "";
  return fmt::format("the tokeniser makes {} tokens, and the model's vocabulary has {}", made, expected);
}

std::string marked_config(const ClipConfig& config, bool tokenizer_beside) {
  auto root = ordered_json::parse(clip_config_json(config));
  // open_clip looks for the tokeniser of a folder in that folder, whatever the name; without one it takes
  // CLIP's.
  if (tokenizer_beside) root["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = kTokenizerBeside;
  root[kMarkKey] = kMark;
  return root.dump(2) + "\n";
}

// The marked one first.
TextFiles text_files(const LoadedModel& loaded, WeightNames names, bool with_tokenizer) {
  const ClipConfig& config = loaded.model->config();
  const bool hugging_face = names == WeightNames::hugging_face;
  const bool as_transformers =
      with_tokenizer && (hugging_face || !is_clip_vocabulary(*loaded.found_tokenizer));
  TextFiles files = {{kMarked, marked_config(config, as_transformers)}};
  if (hugging_face) {
    files.emplace_back("config.json", hf_config_json(config));
    files.emplace_back("preprocessor_config.json", hf_preprocessor_json(config));
  }
  if (as_transformers) {
    TextFiles tokenizer = hf_tokenizer_files(*loaded.found_tokenizer, config.text.context_length);
    std::move(tokenizer.begin(), tokenizer.end(), std::back_inserter(files));
  } else if (with_tokenizer) {
    files.emplace_back("tokenizer.txt.gz", gzip(format_merges(loaded.found_tokenizer->merges())));
  }
  return files;
}

// What an earlier convert left: weights, with which the folder could be loaded, and what is not written
// again.
void remove_earlier(const fs::path& folder, const TextFiles& texts, const PendingWeights& weights) {
  std::vector<std::string> old = names_of_ours(folder);
  // First what makes the folder one that can be loaded.
  std::stable_partition(old.begin(), old.end(), [](const std::string& name) {
    return name == kWeightsFile || name == kWeightsIndex;
  });
  for (const std::string& name : old) {
    const bool stays =
        std::any_of(texts.begin(), texts.end(), [&](const auto& file) { return file.first == name; });
    const bool is_written =
        std::find(weights.names.begin(), weights.names.end(), name) != weights.names.end();
    fs::path file = folder / name;
    if (stays || (is_written && !path_exists(file))) continue;
    std::error_code error;
    // New weights take the place of what a link leads to. Otherwise only the link is ours.
    if (is_written) file = fs::canonical(file, error);
    if (!error) fs::remove(file, error);
    if (error) fail("cannot remove {}: {}", (folder / name).string(), error.message());
  }
  sync_folder(folder);
}

}  // namespace

ConvertedFolder write_converted_folder(const fs::path& folder, const LoadedModel& loaded, WeightNames names,
                                       int64_t max_bytes, const std::vector<std::string>& inputs) {
  const FileLock lock(folder, "the folder " + folder.string());
  check_folder(folder, inputs);
  remove_temporaries(folder, may_be_ours);
  ConvertedFolder written{.no_tokenizer = tokenizer_problem(loaded)};
  const TextFiles texts = text_files(loaded, names, written.no_tokenizer.empty());
  std::vector<PendingFile> files;
  for (const auto& [name, contents] : texts) files.emplace_back(folder / name, contents);
  PendingWeights weights = pending_weights(*loaded.model, folder, names, max_bytes);
  // From here on the folder has neither the model before nor this one.
  finish_first("interrupted: putting the model's files in place first");
  remove_earlier(folder, texts, weights);
  for (PendingFile& file : files) file.commit();  // the mark first
  for (PendingFile& file : weights.files) file.commit();
  written.weights = folder / weights.names.back();
  written.files = std::max<int64_t>(1, std::ssize(weights.files) - 1);
  written.oversized = weights.oversized;
  return written;
}

}  // namespace cuclip
