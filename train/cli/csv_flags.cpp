#include "train/cli/csv_flags.h"

#include <CLI/CLI.hpp>

namespace cuclip {

CLI::Option* add_csv_picture_flag(CLI::App* command, std::string& column) {
  return command->add_option("--csv-img-key", column, kCsvImageHelp);
}

void add_csv_flags(CLI::App* command, DatasetOptions& options) {
  add_csv_picture_flag(command, options.csv_image_key);
  command->add_option("--csv-caption-key", options.csv_caption_key, kCsvCaptionHelp);
  command->add_option("--csv-separator", options.csv_separator, kCsvSeparatorHelp);
}

}  // namespace cuclip
