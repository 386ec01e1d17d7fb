#include "kernels/token_embed/token_embed.h"

#include "kernels/common/dispatch.h"
#include "kernels/token_embed/token_embed_cpu.h"
#include "kernels/token_embed/token_embed_cuda.h"

namespace cuclip {
namespace {

// A view to check, with its name in messages.
struct Named {
  std::string_view name;
  const TensorView& view;
};

void check_embedding(std::string_view operation, const TensorView& tokens, Named table, Named position,
                     Named activations) {
  const auto name = [&](std::string_view tensor) { return fmt::format("{}: {}", operation, tensor); };
  CUCLIP_CHECK(tokens.rank() == 2, "{}: tokens must be [B, S], got {}", operation, tokens.shape.to_string());
  check_tensor(name("tokens"), tokens, DType::i32, tokens.shape);
  CUCLIP_CHECK(table.view.rank() == 2, "{}: {} must be [V, C], got {}", operation, table.name,
               table.view.shape.to_string());
  check_tensor(name(table.name), table.view, DType::f32, table.view.shape);
  const int64_t length = tokens.size(1);
  const int64_t width = table.view.size(1);
  CUCLIP_CHECK(position.view.rank() == 2 && position.view.size(0) >= length && position.view.size(1) == width,
               "{}: {} must be [at least {}, {}], got {}", operation, position.name, length, width,
               position.view.shape.to_string());
  check_tensor(name(position.name), position.view, DType::f32, position.view.shape);
  check_floating(name(activations.name), activations.view.dtype);
  check_tensor(name(activations.name), activations.view, activations.view.dtype,
               {tokens.size(0), length, width});
}

}  // namespace

void token_embed_forward(const TokenEmbedForward& p, const ExecContext& ctx) {
  check_embedding("token_embed_forward", p.tokens, {"table", p.table}, {"position", p.position},
                  {"out", p.out});
  CUCLIP_DISPATCH("token_embed_forward", ctx, token_embed_forward_cpu(p, ctx),
                  token_embed_forward_cuda(p, ctx));
}

void token_embed_backward(const TokenEmbedBackward& p, const ExecContext& ctx) {
  check_embedding("token_embed_backward", p.tokens, {"dtable", p.dtable}, {"dposition", p.dposition},
                  {"dout", p.dout});
  CUCLIP_DISPATCH("token_embed_backward", ctx, token_embed_backward_cpu(p, ctx),
                  token_embed_backward_cuda(p, ctx));
}

}  // namespace cuclip
