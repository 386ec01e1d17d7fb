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

// One convolution of a modified ResNet, which gives out_edge x out_edge rows of channels.
struct Convolution {
  int64_t in_channels, out_channels, kernel, out_edge;

  int64_t parameters() const {  // with those of the norm behind it
    return in_channels * out_channels * kernel * kernel + 2 * out_channels;
  }
  double flops() const {  // of the largest configuration more than 64 bits hold
    return 2.0 * static_cast<double>(out_edge * out_edge) * static_cast<double>(in_channels * out_channels) *
           static_cast<double>(kernel * kernel);
  }
};

// Calls visit for every convolution of the network.
template <typename Visit>
void for_convolutions(const ClipConfig::Vision& v, Visit visit) {
  const int64_t half = v.image_size / 2, width = v.width;
  visit(Convolution{3, width / 2, 3, half});
  visit(Convolution{width / 2, width / 2, 3, half});
  visit(Convolution{width / 2, width, 3, half});
  int64_t in = width, edge = half / 2;
  for (size_t stage = 0; stage < v.stages.size(); ++stage) {
    const int64_t inner = width << stage, out = 4 * inner;
    for (int block = 0; block < v.stages[stage]; ++block, in = out) {
      const int64_t after = stage > 0 && block == 0 ? edge / 2 : edge;
      visit(Convolution{in, inner, 1, edge});
      visit(Convolution{inner, inner, 3, edge});
      visit(Convolution{inner, out, 1, after});
      if (block == 0) visit(Convolution{in, out, 1, after});
      edge = after;
    }
  }
}

int64_t vision_parameters(const ClipConfig::Vision& v, int64_t embed) {
  const int64_t width = v.attention_width(), positions = (v.patches() + 1) * width;
  if (v.is_resnet()) {
    int64_t count = positions + 3 * (width * width + width) + width * embed + embed;
    for_convolutions(v, [&](const Convolution& c) { count += c.parameters(); });
    return count;
  }
  return width * 3 * v.patch_size * v.patch_size + width + positions + 4 * width +
         v.layers * block_parameters(width, v.mlp_width()) + width * embed;
}

}  // namespace

int64_t parameter_count(const ClipConfig& c) {
  const auto& t = c.text;
  const int64_t tw = t.width, embed = c.embed_dim, vision = vision_parameters(c.vision, embed);
  const int64_t text = t.vocab_size * tw + t.context_length * tw +
                       t.layers * block_parameters(tw, t.mlp_width()) + 2 * tw + tw * embed;
  return vision + text + 1;
}

double image_forward_flops(const ClipConfig& c, int64_t patches) {
  const auto& v = c.vision;
  const double width = v.attention_width(), rows = static_cast<double>(patches + 1);
  if (v.is_resnet()) {
    double convolutions = 0;
    for_convolutions(v, [&](const Convolution& one) { convolutions += one.flops(); });
    // Keys and values of every row; the query and the output of one.
    const double projections = 2 * width * (width * (2 * rows + 1) + c.embed_dim);
    return convolutions + projections + 4 * width * rows;
  }
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
