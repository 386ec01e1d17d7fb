#include "models/clip/clip_size.h"

namespace cuclip {
namespace {

int64_t block_parameters(int64_t width, int64_t mlp_width) {
  const int64_t norms = 4 * width;
  const int64_t attention = 4 * width * width + 4 * width;
  const int64_t mlp = 2 * width * mlp_width + mlp_width + width;
  return norms + attention + mlp;
}

// All blocks of an encoder over `length` rows, the last one pooled. `pairs_of_rows`: the (query, key) pairs
// that attention looks at.
double blocks_flops(double width, double mlp_width, double layers, double length, double pairs_of_rows) {
  const double qkv = 6 * width * width, after = 2 * width * width + 4 * width * mlp_width;
  const double attention = 4 * width * pairs_of_rows;
  return layers * (length * qkv + attention) + ((layers - 1) * length + 1) * after;
}

}  // namespace

int64_t parameter_count(const ClipConfig& c) {
  const auto& v = c.vision;
  const auto& t = c.text;
  const int64_t vw = v.width, tw = t.width, embed = c.embed_dim;
  const int64_t vision = vw * 3 * v.patch_size * v.patch_size + vw + (v.patches() + 1) * vw + 4 * vw +
                         v.layers * block_parameters(vw, v.mlp_width()) + vw * embed;
  const int64_t text = t.vocab_size * tw + t.context_length * tw +
                       t.layers * block_parameters(tw, t.mlp_width()) + 2 * tw + tw * embed;
  return vision + text + 1;
}

double image_forward_flops(const ClipConfig& c, int64_t patches) {
  const auto& v = c.vision;
  const double width = v.width, rows = static_cast<double>(patches + 1);
  const double embed = 2 * (rows - 1) * width * 3 * v.patch_size * v.patch_size;
  return embed + blocks_flops(width, v.mlp_width(), v.layers, rows, rows * rows) + 2 * width * c.embed_dim;
}

double text_forward_flops(const ClipConfig& c, int64_t length) {
  const double width = c.text.width, rows = static_cast<double>(length);
  return blocks_flops(width, c.text.mlp_width(), c.text.layers, rows, rows * (rows + 1) / 2) +
         2 * width * c.embed_dim;
}

double training_step_flops(const ClipConfig& c, int64_t pairs, int64_t length, int64_t patches) {
  const double n = static_cast<double>(pairs);
  return 3 * n * (image_forward_flops(c, patches) + text_forward_flops(c, length)) + 8 * n * n * c.embed_dim;
}

}  // namespace cuclip
