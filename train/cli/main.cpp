// The executable `cuclip`: parses the command line, runs one subcommand, and turns what it throws into an
// exit code: 0 done, 1 the work failed, 2 the arguments or inputs are wrong, 128 + N interrupted by signal N.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <new>
#include <sstream>
#include <system_error>

#include "core/together.h"
#include "kernels/common/check.h"
#include "models/files/message.h"
#include "train/cli/commands.h"
#include "train/cli/interruption.h"
#include "train/cli/standard_streams.h"
#include "train/cli/usage.h"

namespace {

enum ExitCode { kDone = 0, kFailed = 1, kWrongInput = 2 };

constexpr const char* kExamples = R"(Examples:
  cuclip train --model cuclip-tiny --train-data synthetic:shapes --out runs/shapes
  cuclip index photos/ --out photos.cuclip-index --model runs/shapes
  cuclip search photos.cuclip-index "a red bicycle" --contact-sheet found.png

cuclip COMMAND --help describes a command, with examples of its own.
Exit codes: 0 done, 1 the work failed, 2 the arguments or inputs are wrong, 129, 130 and 143 interrupted
by SIGHUP, SIGINT (Ctrl-C) and SIGTERM.)";

void add_commands(CLI::App& app) {
  cuclip::add_train_command(app);
  cuclip::add_data_command(app);
  cuclip::add_report_command(app);
  cuclip::add_tokenizer_command(app);
  cuclip::add_encode_command(app);
  cuclip::add_classify_command(app);
  cuclip::add_matrix_command(app);
  cuclip::add_eval_command(app);
  cuclip::add_index_command(app);
  cuclip::add_search_command(app);
  cuclip::add_convert_command(app);
  cuclip::add_info_command(app);
}

// To CLI11 help and version are "errors"; here they are results like any other.
void parse_or_help(CLI::App& app, const std::vector<std::string>& arguments) {
  try {
    cuclip::parse_literally(app, arguments);
  } catch (const CLI::Success& asked) {
    std::ostringstream text;
    app.exit(asked, text, text);
    fmt::print("{}", text.str());
  }
}

void say_not_written(const std::string& reason) {
  std::cerr << "cuclip: cannot write to standard output: " << reason << '\n';
}

int parse_and_run(CLI::App& app, const std::vector<std::string>& arguments) {
  try {
    parse_or_help(app, arguments);
    return kDone;
  } catch (const CLI::ParseError& error) {
    std::cerr << cuclip::describe_failure(app, arguments, error);
    return kWrongInput;
  } catch (const cuclip::Interrupted& interrupted) {
    return 128 + interrupted.signal;
  } catch (const cuclip::OtherRankFailed& other) {  // which has said why
    return other.input() ? kWrongInput : kFailed;
  } catch (const cuclip::InputError& error) {
    std::cerr << "cuclip: " << cuclip::escaped_message(error.what()) << '\n';
    return kWrongInput;
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::broken_pipe) return kFailed;  // the reader went away, and knows it
    if (std::ferror(stdout) != 0)
      say_not_written(error.code().message());
    else
      std::cerr << "cuclip: " << cuclip::escaped_message(error.what()) << '\n';
    return kFailed;
  } catch (const std::bad_alloc&) {
    std::cerr << fmt::format(
        "{}: out of memory. Try smaller or fewer inputs, or a machine with more memory\n",
        cuclip::command_name(app, arguments));
    return kFailed;
  } catch (const std::exception& error) {
    std::cerr << "cuclip: " << cuclip::escaped_message(error.what()) << '\n';
    return kFailed;
  }
}

// Results that nobody received are a failure. A reader that went away early (`cuclip ... | head`) knows so
// itself and is not told.
int flush_results(int code) {
  const bool said = std::ferror(stdout) != 0;  // by whoever ran into it
  if (!said && std::fflush(stdout) == 0) return code;
  if (!said && errno != EPIPE) say_not_written(std::strerror(errno));
  return code == kDone ? kFailed : code;
}

}  // namespace

int main(int argc, char** argv) {
  cuclip::secure_standard_streams();
  cuclip::take_signals();
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is then a failed write, not a silent death
  std::signal(SIGXFSZ, SIG_IGN);  // and so is a file that grows beyond ulimit -f
  CLI::App app{"cuclip trains and runs CLIP models: pictures and words in a shared feature space.", "cuclip"};
  app.set_version_flag("--version", std::string("cuclip " CUCLIP_VERSION));
  app.require_subcommand(1);
  app.footer(kExamples);
  add_commands(app);
  return flush_results(parse_and_run(app, {argv + 1, argv + std::max(argc, 1)}));
}
