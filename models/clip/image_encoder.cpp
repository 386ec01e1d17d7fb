#include "models/clip/image_encoder.h"

#include "models/clip/modified_resnet.h"
#include "models/clip/vision_transformer.h"

namespace cuclip {

std::unique_ptr<const ImageEncoder> make_image_encoder(const ParameterScope& scope,
                                                       const ClipConfig& config) {
  if (config.vision.is_resnet()) return std::make_unique<ModifiedResnet>(scope, config);
  return std::make_unique<VisionTransformer>(scope, config);
}

}  // namespace cuclip
