// cuclip report
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "core/counted.h"
#include "train/cli/commands.h"
#include "train/cli/flag_values.h"
#include "train/cli/output_files.h"
#include "train/cli/printing.h"
#include "train/loop/report.h"

namespace cuclip {
namespace {

std::string search_means(const nlohmann::ordered_json& figures) {
  const auto percent = [&](const char* form) {
    return 100 * figures["mean"][form]["precision"].get<double>();
  };
  return fmt::format("{:.1f} %, with an article {:.1f} % (by chance {:.1f} %)", percent("bare"),
                     percent("with_article"), percent("chance"));
}

// One line: how well single words find pictures.
void print_search(const nlohmann::ordered_json& search) {
  const nlohmann::ordered_json &all = search["all"], &held_out = search["held_out"];
  if (!all.contains("mean")) {
    fmt::print("word → picture      none of the {} is in a caption\n",
               counted(std::ssize(all["missing"]), "everyday word"));
    return;
  }
  fmt::print("word → picture      precision@{}: {} of all {}", all["top"].get<int64_t>(), search_means(all),
             all["pictures"].get<int64_t>());
  if (held_out.contains("mean")) fmt::print("; {} of those held out", search_means(held_out));
  fmt::print("\n");
}

void warn_of_shared_pairs(const nlohmann::ordered_json& report) {
  const auto shared = report["pairs_in_both"].get<int64_t>();
  if (shared == 0) return;
  warn(
      fmt::format("{} of --val-data {} in --train-data too: figures of what was trained on, not of what was "
                  "held out",
                  counted(shared, "pair"), shared == 1 ? "is" : "are"));
}

void print_report(const nlohmann::ordered_json& report) {
  const auto percent = [](const nlohmann::ordered_json& value) { return 100 * value.get<double>(); };
  fmt::print("{} held out of training, {} trained on; {:.1f} M parameters, {}\n",
             counted(report["pairs_held_out"].get<int64_t>(), "pair"), report["pairs_train"].get<int64_t>(),
             report["parameters"].get<double>() / 1e6, report["precision"].get<std::string>());
  for (const auto& [key, title] :
       {std::pair{"image_to_text", "picture → caption"}, {"text_to_image", "caption → picture"}}) {
    const auto& direction = report[key];
    fmt::print(
        "{}   R@1 {:4.1f} %   R@5 {:4.1f} %   R@10 {:4.1f} %   (R@10 by chance {:.1f} %)   median rank "
        "{:.0f}\n",
        title, percent(direction["R@1"]), percent(direction["R@5"]), percent(direction["R@10"]),
        percent(direction["chance"]["R@10"]), direction["median_rank"].get<double>());
  }
  print_search(report["search"]);
  fmt::print(
      "trained for {:.0f} s, {:.0f} pictures/s, {:.1f} % of the machine's {} matrix-product peak, {:.1f} % "
      "waiting "
      "for data\n",
      report["train_seconds"].get<double>(), report["images_per_second"].get<double>(),
      percent(report["flop_utilisation"]), report["precision"].get<std::string>(),
      percent(report["data_wait_share"]));
}

}  // namespace

void add_report_command(CLI::App& parent) {
  struct Flags {
    ReportInputs inputs;
    bool json = false;
    int threads = 0;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* app = parent.add_subcommand("report", "Evaluate a finished run and draw its pictures");
  app->add_option("run", flags->inputs.run, "folder of the run")->required();
  app->add_option("--train-data", flags->inputs.train_data,
                  "what it was trained on: counted, and searched with words")
      ->required();
  app->add_option("--val-data", flags->inputs.val_data, "held-out pairs")->required();
  never_empty(app->add_option("--out", flags->inputs.out, "folder for report.json, loss.svg and matrix.svg"))
      ->required();
  limit(app->add_option("--threads", flags->threads, kThreadsHelp), thread_range())->capture_default_str();
  app->add_flag("--json", flags->json, "print report.json instead of a summary");
  app->footer(
      "Example:\n  cuclip report runs/first --train-data pairs/train-000.tar --val-data "
      "pairs/held-out-000.tar "
      "--out runs/first/report");
  app->callback([flags] {
    check_can_fill(
        flags->inputs.out,
        {{kReportFile, OutputKind::json}, {kLossDrawing, OutputKind::svg}, {kMatrixDrawing, OutputKind::svg}},
        {flags->inputs.train_data, flags->inputs.val_data});
    Context context(flags->threads);
    const nlohmann::ordered_json report = write_report(context, flags->inputs);
    warn_of_shared_pairs(report);
    if (flags->json) {
      print_json(report);
    } else {
      print_report(report);
    }
  });
}

}  // namespace cuclip
