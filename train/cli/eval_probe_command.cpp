// cuclip eval probe: what a linear classifier learns from the features of a model that stays as it is.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <limits>
#include <memory>
#include <optional>

#include "core/counted.h"
#include "core/file_io.h"
#include "models/files/names.h"
#include "models/inference/labelled_pictures.h"
#include "train/cli/eval_commands.h"
#include "train/cli/flag_values.h"
#include "train/cli/printing.h"
#include "train/cli/session.h"
#include "train/data/labelled_features.h"
#include "train/data/probe_eval.h"

namespace cuclip {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kHelp =
    R"(Multinomial logistic regression by L-BFGS (at most 1,000 iterations) on the pictures' features before the
projection, as Radford et al. 2021 (appendix A.3) measure it; a ResNet's attention pool has the projection
in it. lambda is scikit-learn's 1 / C. It is chosen on the validation pictures; then the classifier is fitted
once more on all training pictures. With --shots it is fitted on so many of each class alone; lambda is
still chosen on all validation pictures: give --lambda to use no other labels.
Examples:
  cuclip eval probe --data train/ --test-data test/ --model runs/mine
  cuclip eval probe --data pictures/ --shots 1,2,4,8,16 --json --model runs/mine
  cuclip eval probe --data synthetic:shapes --count 2000 --model runs/shapes)";

struct ProbeFlags {
  ModelFlags model;
  std::string data, test_data, image_column, label_column, confusion;
  double test_fraction = 0.2;
  std::optional<Corruption> corruption;
  std::optional<double> lambda;
  double val_fraction = 0.2;
  std::vector<int64_t> shots;
  int64_t draws = 3;
  int64_t count = 1000;
  uint64_t seed = 1;
  bool json = false;
  std::vector<CLI::Option*> of_synthetic, of_tables;  // what some data alone take

  bool synthetic() const { return data == "synthetic:shapes"; }
  ProbeSettings settings() const { return {.lambda = lambda, .val_fraction = val_fraction, .seed = seed}; }
};

// What is read before the model is loaded: nothing for synthetic:shapes, one set or two of pictures.
struct ProbeSources {
  std::optional<LabelledPictures> train, test;
};

struct ProbeData {
  LabelledFeatures train;
  ProbeSamples test;
  int64_t unreadable = 0, damaged = 0;  // of both
};

void check_arguments(const ProbeFlags& flags) {
  CUCLIP_CHECK(flags.synthetic() || !flags.data.starts_with("synthetic:"),
               "--data {}: expected synthetic:shapes; use --count and --seed to choose the pictures",
               flags.data);
  CUCLIP_CHECK(!flags.synthetic() || flags.test_data.empty(),
               "--test-data: with --data synthetic:shapes a part of its pictures is the test; leave it out");
  CUCLIP_CHECK(!flags.test_data.starts_with("synthetic:"),
               "--test-data {}: expected a folder or a table; of --data synthetic:shapes a part is the test",
               flags.test_data);
  CUCLIP_CHECK(!flags.corruption || !flags.test_data.empty(),
               "--corrupt changes the pictures to test, not those to learn from: give them with --test-data");
  if (!flags.synthetic()) refuse_given(flags.of_synthetic, "only --data synthetic:shapes takes it");
  const auto is_table = [](const std::string& data) { return !data.empty() && !is_folder(data); };
  if (flags.synthetic() || !(is_table(flags.data) || is_table(flags.test_data)))
    refuse_given(flags.of_tables, flags.data + " is not a table");
  check_confusion_file(flags.confusion, inputs_with(flags.model, {flags.data, flags.test_data}));
}

ProbeSources read_sources(const ProbeFlags& flags) {
  const auto read = [&](const std::string& source) -> std::optional<LabelledPictures> {
    if (source.empty() || flags.synthetic()) return {};
    LabelledPictures pictures = read_labelled_pictures(source, "", flags.image_column, flags.label_column);
    print_notes(pictures.notes);
    return pictures;
  };
  return {.train = read(flags.data), .test = read(flags.test_data)};
}

LabelledFeatures encode_source(const Session& session, const LabelledPictures& pictures,
                               const PictureChange& change = {}) {
  LabelledFeatures features = encode_labelled(
      session.model(), pictures, progress_to_terminal("encoded", std::ssize(pictures.files)), change);
  report_unreadable(features.unreadable);
  report_damaged(features.damaged);
  return features;
}

ProbeData encode_data(const ProbeFlags& flags, const Session& session, const ProbeSources& sources) {
  ProbeData data{.train = sources.train
                              ? encode_source(session, *sources.train)
                              : encode_synthetic_labelled(session.model(), flags.count, flags.seed,
                                                          progress_to_terminal("encoded", flags.count)),
                 .test = {}};
  const auto count_bad = [&](const LabelledFeatures& features) {
    data.unreadable += std::ssize(features.unreadable);
    data.damaged += std::ssize(features.damaged);
  };
  count_bad(data.train);
  if (sources.test) {
    LabelledFeatures test =
        encode_source(session, *sources.test, change_of(flags.corruption, session.model()));
    count_bad(test);
    use_classes_of(data.train, test);
    data.test = std::move(test.samples);
    return data;
  }
  ProbeSamples& all = data.train.samples;
  const ClassSplit split =
      split_by_class(all.labels, std::ssize(data.train.classes), flags.test_fraction, flags.seed);
  CUCLIP_CHECK(!split.taken.empty(),
               "--test-fraction {} of {} of {} leaves none to test; give more pictures, a larger fraction or "
               "--test-data",
               flags.test_fraction, counted(all.count(), "picture"),
               counted(std::ssize(data.train.classes), "class", "classes"));
  data.test = all.chosen(split.taken);
  all = all.chosen(split.rest);
  return data;
}

void print_few_shot(std::span<const FewShotScore> scores, const ProbeResult& all) {
  fmt::print("{:>7}  {:>6}  {:>6}   {}\n", "shots", "top-1", "spread", "draws");
  for (const FewShotScore& score : scores) {
    fmt::print("{:>7}  {:6.3f}  {:>6}  ", score.shots, score.mean,
               score.top1.size() > 1 ? fmt::format("{:.3f}", score.spread) : "-");
    for (const double top1 : score.top1) fmt::print(" {:.3f}", top1);
    fmt::print("\n");
  }
  fmt::print("{:>7}  {:6.3f}\n\n", "all", all.test.top1);
}

void print_result(const ProbeResult& result, std::span<const std::string> classes) {
  fmt::print("{} to learn from, lambda {:.4g} ", counted(result.train_samples, "picture"), result.lambda);
  if (result.val_accuracy) {
    fmt::print("(chosen on {} of them: {:.3f} right)\n", result.val_samples, *result.val_accuracy);
  } else {
    fmt::print("(given)\n");
  }
  print_metrics(result.test, classes);
}

void warn_of_unconverged(const ProbeResult& result, std::span<const FewShotScore> few) {
  if (!result.converged) {
    warn(fmt::format("the fit ended after {} before it had converged, with a gradient of {:.2g}",
                     counted(result.iterations, "iteration"), result.gradient_norm));
  }
  for (const FewShotScore& score : few) {
    if (score.unconverged == 0) continue;
    warn(fmt::format("with {}, {} ended before convergence", counted(score.shots, "shot"),
                     counted(score.unconverged, "fit")));
  }
}

Json answer(const ProbeFlags& flags, const Session& session, const ProbeData& data, const ProbeResult& result,
            std::span<const FewShotScore> few) {
  Json json = answer_about(session, flags.data);
  if (!flags.test_data.empty()) put_name(json, "test_data", flags.test_data);
  put_corruption(json, flags.corruption);
  json["unreadable"] = data.unreadable;
  json["damaged_pictures_used"] = data.damaged;
  json.update(to_json(result, data.train.classes));
  if (!few.empty()) json["few_shot"] = to_json(few);
  if (!flags.confusion.empty()) put_name(json, "confusion", flags.confusion);
  return json;
}

void probe(const ProbeFlags& flags) {
  check_arguments(flags);
  const ProbeSources sources = read_sources(flags);
  Session session(flags.model);
  const ProbeData data = encode_data(flags, session, sources);
  const std::vector<std::string>& classes = data.train.classes;
  ThreadPool& pool = *session.context.pool();
  const ProbeSettings settings = flags.settings();
  const int64_t fits = fits_of_probe(settings);
  const std::vector<FewShotScore> few =
      evaluate_few_shot(pool, data.train.samples, data.test, classes, flags.shots, flags.draws, settings,
                        progress_to_terminal("fits", fits * flags.draws * std::ssize(flags.shots)));
  const ProbeResult result = evaluate_probe(pool, data.train.samples, data.test, classes, settings,
                                            progress_to_terminal("fits", fits));
  warn_of_unconverged(result, few);
  if (flags.json) {
    print_json(answer(flags, session, data, result, few));
  } else {
    print_corruption(flags.corruption);
    if (!few.empty()) print_few_shot(few, result);
    print_result(result, classes);
  }
  draw_confusion(flags.confusion, result.test, classes, session.loaded.description, flags.corruption);
}

}  // namespace

void add_eval_probe(CLI::App* command) {
  auto flags = std::make_shared<ProbeFlags>();
  CLI::App* sub = command->add_subcommand("probe", "Accuracy of a linear classifier on the model's features");
  sub->add_option("--data", flags->data,
                  "A folder with a folder of pictures for each class, a .csv or .tsv of labels, or "
                  "synthetic:shapes: what is learnt")
      ->required();
  CLI::Option* test = never_empty(
      sub->add_option("--test-data", flags->test_data, "The same, to test; by default a part of --data"));
  const RealRange share{.low = 0, .high = 1, .low_open = true, .high_open = true};
  limit(sub->add_option("--test-fraction", flags->test_fraction,
                        "Share of each class's pictures that is set aside to test, without --test-data"),
        share)
      ->capture_default_str()
      ->excludes(test);
  CLI::Option* lambda = limit(
      sub->add_option("--lambda", flags->lambda, "Strength of the L2 regularisation, instead of choosing it"),
      RealRange{.low = 0, .high = 1e12, .low_open = true});
  limit(sub->add_option("--val-fraction", flags->val_fraction,
                        "Share of each class's training pictures on which lambda is chosen"),
        share)
      ->capture_default_str()
      ->excludes(lambda);
  CLI::Option* shots =
      limit(sub->add_option("--shots", flags->shots,
                            "Also learn from so many pictures of each class, as 1,2,4,8,16: a table"),
            WholeRange{1, kMostOfAnything})
          ->delimiter(',');
  limit(sub->add_option("--draws", flags->draws, "How often the shots are drawn"), WholeRange{1, 1000})
      ->capture_default_str()
      ->needs(shots);
  limit(sub->add_option("--seed", flags->seed, "Seed of the splits, the shots and synthetic:shapes"),
        WholeRange{0, std::numeric_limits<int64_t>::max()})
      ->capture_default_str();
  flags->of_synthetic = {limit(sub->add_option("--count", flags->count, "Pictures of synthetic:shapes"),
                               WholeRange{1, 1'000'000})
                             ->capture_default_str()};
  flags->of_tables = add_labels_table_flags(sub, flags->image_column, flags->label_column);
  add_corrupt_flag(sub, flags->corruption);
  add_confusion_flag(sub, flags->confusion);
  sub->add_flag("--json", flags->json, kJsonHelp);
  add_model_flags(sub, flags->model);
  sub->footer(kHelp);
  sub->callback([flags] { probe(*flags); });
}

}  // namespace cuclip
