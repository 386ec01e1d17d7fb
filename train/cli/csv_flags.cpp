#include "train/cli/csv_flags.h"

#include <CLI/CLI.hpp>

namespace cuclip {

void add_csv_picture_flag(CLI::App* command, std::string& column) {
  command->add_option("--csv-img-key", column, "CSV column with the picture's path")->capture_default_str();
}

void add_csv_flags(CLI::App* command, DatasetOptions& options) {
  add_csv_picture_flag(command, options.csv_image_key);
  command->add_option("--csv-caption-key", options.csv_caption_key, "CSV column with the caption")
      ->capture_default_str();
  command->add_option("--csv-separator", options.csv_separator,
                      "CSV separator; by default told from the file");
}

}  // namespace cuclip
