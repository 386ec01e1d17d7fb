#include "train/cli/texts.h"

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "models/files/text_file.h"
#include "models/text/normalise_caption.h"

namespace cuclip {

std::vector<std::string> given_texts(const std::vector<std::string>& arguments, const std::string& file,
                                     const std::string& command) {
  std::vector<std::string> texts = arguments;
  if (!file.empty()) {
    const std::vector<std::string> lines = read_lines(file);
    texts.insert(texts.end(), lines.begin(), lines.end());
  }
  CUCLIP_CHECK(!texts.empty(), "{}: expected texts (captions) as arguments or in --texts-file, found none",
               command);
  for (size_t i = 0; i < texts.size(); ++i)
    require_text(texts[i], fmt::format("{}: text {}", command, i + 1));
  return texts;
}

std::vector<std::string> given_labels(const std::string& text) {
  std::vector<std::string> labels;
  if (text == "-" || path_exists(text)) {
    labels = read_lines(text);
  } else {
    for (size_t at = 0; at <= text.size();) {
      const size_t end = std::min(text.find(',', at), text.size());
      const std::string label = text.substr(at, end - at);
      const size_t first = std::min(label.find_first_not_of(" \t"), label.size());
      labels.emplace_back(without_trailing_blanks(std::string_view(label).substr(first)));
      at = end + 1;
    }
  }
  for (size_t i = 0; i < labels.size(); ++i)
    require_text(labels[i], fmt::format("--labels (separated by commas, or a file): label {}", i + 1));
  return labels;
}

}  // namespace cuclip
