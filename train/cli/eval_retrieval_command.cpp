// cuclip eval retrieval: pictures find their captions, and captions their pictures.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "core/counted.h"
#include "models/inference/retrieval.h"
#include "train/cli/eval_commands.h"
#include "train/cli/printing.h"
#include "train/cli/session.h"
#include "train/data/search_eval.h"

namespace cuclip {
namespace {

void print_direction(const char* name, const RetrievalDirection& d) {
  fmt::print("{:<14}", name);
  for (const double recall : d.recall) fmt::print("  {:6.3f}", recall);
  fmt::print("  {:11.1f}  {:11.3f}\n", d.median_rank, d.chance[2]);
}

void retrieval(const PairsFlags& options) {
  const auto dataset = open_dataset(options.data, options.dataset);
  print_notes(dataset->notes());
  const int64_t count = options.limit > 0 ? std::min(options.limit, dataset->size()) : dataset->size();
  Session session(options.model);
  const PictureCollection data = encode_collection(session.model(), *dataset, count, options.max_bad_fraction,
                                                   progress_to_terminal("encoded", count));
  report_bad(data.bad);
  const RetrievalMetrics metrics =
      evaluate_retrieval(session.model(), session.loaded.tokenizer(), data.features, data.captions);
  if (options.json) {
    nlohmann::ordered_json json = answer_about(session, options.data);
    json["pictures"] = metrics.image_to_text.queries;
    json["captions"] = metrics.text_to_image.queries;
    put_bad(json, data.bad);
    json.update(to_json(metrics));
    return print_json(json);
  }
  fmt::print("{}, {}\n", counted(metrics.image_to_text.queries, "picture"),
             counted(metrics.text_to_image.queries, "caption"));
  fmt::print("{:<14}  {:>6}  {:>6}  {:>6}  {:>11}  {:>11}\n", "", "R@1", "R@5", "R@10", "median rank",
             "chance R@10");
  print_direction("image to text", metrics.image_to_text);
  print_direction("text to image", metrics.text_to_image);
}

}  // namespace

void add_eval_retrieval(CLI::App* command) {
  auto options = std::make_shared<PairsFlags>();
  CLI::App* sub = command->add_subcommand("retrieval", "R@1/5/10 and median rank of pictures and captions");
  add_pairs_flags(sub, *options);
  sub->footer(
      "Recalls are shares (0 to 1) of queries with a right answer among the first 1, 5, 10; equal "
      "similarities\n"
      "count against the model. A picture may have several captions, as in a .csv with a row for each: any "
      "of\n"
      "them is a right answer for the picture, and each looks for the picture by itself.\n"
      "Examples:\n"
      "  cuclip eval retrieval --data held-out-000.tar --model runs/mine\n"
      "  cuclip eval retrieval --data captions.csv --model runs/mine");
  sub->callback([options] { retrieval(*options); });
}

}  // namespace cuclip
