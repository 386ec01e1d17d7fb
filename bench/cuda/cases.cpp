#include "bench/cuda/cases.h"

namespace cuclip::bench {
namespace {

struct Table {
  std::vector<Tower> towers;
  std::vector<Pairs> pairs;
  std::vector<Pictures> pictures;
  std::vector<Convolution> convolutions;
};

const Table& clip() {
  static const Table table{
      .towers =
          {
              {1024, 50, 768, 64},        // ViT-B/32
              {1024, 77, 512, 64, true},  // its texts
              {256, 197, 768, 64},        // ViT-B/16
              {256, 77, 768, 64, true},   // ViT-L's texts
              {128, 257, 1024, 64},       // ViT-L/14
              {128, 77, 1024, 64, true},  // ViT-H's texts
              {64, 257, 1280, 80},        // ViT-H/14
              {64, 257, 1024, 128},       // ViT-L/14 with heads of 128
              {32, 577, 1024, 64},        // ViT-L/14 at 336 pixels
          },
      .pairs = {{1024, 512},
                {4096, 512},
                {16384, 512},
                {32768, 512},
                {65536, 512},
                {1024, 768},
                {4096, 768},
                {16384, 768},
                {32768, 768},
                {65536, 768}},
      // ViT-B/32, B/16, L/14, and L/14 at 336 pixels.
      .pictures = {{1024, 224, 32, 768}, {256, 224, 16, 768}, {128, 224, 14, 1024}, {32, 336, 14, 1024}},
      .convolutions =
          {
              // RN50: the stem, each of its stages.
              {256, 224, 3, 32, 3, 2, 1},
              {256, 112, 32, 64, 3, 1, 1},
              {256, 56, 64, 64, 3, 1, 1},
              {256, 56, 64, 256, 1, 1, 0},
              {256, 56, 256, 64, 1, 1, 0},
              {256, 28, 128, 128, 3, 1, 1},
              {256, 28, 128, 512, 1, 1, 0},
              {256, 14, 256, 256, 3, 1, 1},
              {256, 14, 256, 1024, 1, 1, 0},
              {256, 7, 512, 512, 3, 1, 1},
              {256, 7, 512, 2048, 1, 1, 0},
          },
  };
  return table;
}

const Table& small() {
  static const Table table{.towers = {{2, 50, 128, 64}, {1, 77, 128, 64, true}, {1, 65, 160, 80}},
                           .pairs = {{160, 64}},
                           .pictures = {{2, 32, 16, 64}},
                           .convolutions = {{1, 9, 64, 64, 3, 1, 1}, {1, 32, 3, 64, 3, 2, 1}}};
  return table;
}

// What is trained with comes first: with a time limit the rest is left out.
constexpr Precision kPrecisions[] = {Precision::bf16, Precision::tf32, Precision::fp32};

void add(std::vector<Operation>& all, const Tower& tower, Precision precision) {
  if (precision != Precision::tf32) {  // no products of linear layers
    for (const auto make : {attention_forward, attention_backward, layer_norm_forward, layer_norm_backward})
      all.push_back(make(tower, precision));
  }
  for (const auto make : {linear_bias, linear_gelu, linear_gelu_gradient, linear_weight_gradient})
    all.push_back(make(tower, precision));
}

void add(std::vector<Operation>& all, const Convolution& shape, Precision precision) {
  for (const auto pass :
       {ConvolutionPass::forward, ConvolutionPass::data_gradient, ConvolutionPass::weight_gradient}) {
    const bool of_pictures = shape.channels == 3;  // they get no gradient
    if (!of_pictures || pass != ConvolutionPass::data_gradient)
      all.push_back(convolution(shape, pass, precision));
  }
}

}  // namespace

std::vector<Operation> operations(bool reduced) {
  const Table& table = reduced ? small() : clip();
  std::vector<Operation> all;
  for (const Precision precision : kPrecisions) {
    for (const Tower& tower : table.towers) add(all, tower, precision);
    for (const Pairs& pairs : table.pairs) {
      for (const auto make : {contrastive_loss_forward, contrastive_loss_backward})
        all.push_back(make(pairs, precision));
    }
    for (const Pictures& pictures : table.pictures) all.push_back(patch_embed_forward(pictures, precision));
    for (const Convolution& shape : table.convolutions) add(all, shape, precision);
  }
  return all;
}

}  // namespace cuclip::bench
