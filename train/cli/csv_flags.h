// The flags that say how a .csv or .tsv of pictures is read.
#pragma once

#include <string>

#include "train/data/dataset.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cuclip {

/// --csv-img-key.
CLI::Option* add_csv_picture_flag(CLI::App* command, std::string& column);

/// --csv-img-key, --csv-caption-key, --csv-separator.
void add_csv_flags(CLI::App* command, DatasetOptions& options);

}  // namespace cuclip
