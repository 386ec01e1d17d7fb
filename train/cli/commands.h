// The subcommands of cuclip. Each function adds one to the application; its work runs in the subcommand's
// callback and reports failure by throwing: InputError makes the exit code 2, any other exception 1.
#pragma once

namespace CLI {
class App;
}

namespace cuclip {

/// Thrown when a signal ended the work early, with everything saved: the exit code is 128 + signal.
struct Interrupted {
  int signal;
};

void add_train_command(CLI::App& app);
void add_data_command(CLI::App& app);
void add_report_command(CLI::App& app);
void add_tokenizer_command(CLI::App& app);
void add_encode_command(CLI::App& app);
void add_classify_command(CLI::App& app);
void add_matrix_command(CLI::App& app);
void add_eval_command(CLI::App& app);
void add_index_command(CLI::App& app);
void add_search_command(CLI::App& app);
void add_convert_command(CLI::App& app);
void add_info_command(CLI::App& app);

}  // namespace cuclip
