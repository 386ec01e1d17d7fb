#include "bench/cuda/cudnn.h"

#ifdef CUCLIP_WITH_CUDNN

#include <dlfcn.h>

#define NV_CUDNN_FRONTEND_DISABLE_LOGGING
#define CUDNN_FRONTEND_SKIP_JSON_LIB
#include <cudnn_frontend.h>

#include <cmath>
#include <optional>

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // where the frontend looks cuDNN's functions up
}

namespace cuclip::bench {
namespace {

namespace fe = cudnn_frontend;
using fe::graph::Graph;
using Attributes = std::shared_ptr<fe::graph::Tensor_attributes>;
using Extents = std::vector<int64_t>;

void load() {
  if (fe::cudnn_dlhandle) return;
  fe::cudnn_dlhandle = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_GLOBAL);
  if (!fe::cudnn_dlhandle) throw Refusal(fmt::format("cuDNN cannot be loaded: {}", dlerror()));
}

void check(fe::error_t error, const char* step) {
  if (error.is_good()) return;
  const std::string why = error.get_message();
  throw Refusal(fmt::format("cuDNN refuses at {}: {}", step, why.substr(0, why.find('\n'))));
}
void check(cudnnStatus_t status, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw Refusal(fmt::format("{}: {}", call, fe::detail::get_error_string(status)));
}

fe::DataType_t type_of(DType dtype) {
  return dtype == DType::bf16 ? fe::DataType_t::BFLOAT16 : fe::DataType_t::FLOAT;
}

/// A graph whose tensors are parts of ours. Results are named by output().
class Plan {
 public:
  explicit Plan(DType activations) : activations_(activations) {
    graph_.set_io_data_type(type_of(activations))
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
  }
  Graph& graph() { return graph_; }

  /// Begins `offset` elements into the tensor called `name`.
  Attributes input(const char* name, const Extents& extents, const Extents& strides,
                   std::optional<DType> dtype = {}, int64_t offset = 0) {
    const Attributes made = graph_.tensor(fe::graph::Tensor_attributes().set_name(name));
    place(made, name, extents, strides, dtype, offset);
    return made;
  }
  void output(const Attributes& made, const char* name, const Extents& extents, const Extents& strides,
              std::optional<DType> dtype = {}, int64_t offset = 0) {
    made->set_output(true);
    place(made, name, extents, strides, dtype, offset);
  }

  /// Takes the plan that cuDNN's heuristics put first.
  void build(const Lab& lab) {
    if (lab.cudnn_device.empty()) {
      check(fe::detail::create_handle(&handle_), "cudnnCreate");
      check(fe::detail::set_stream(handle_, static_cast<cudaStream_t>(lab.context->stream())),
            "cudnnSetStream");
    } else {
      const auto properties = std::make_shared<fe::DeviceProperties>();
      check(properties->deserialize({lab.cudnn_device.begin(), lab.cudnn_device.end()}),
            "the device's properties");
      graph_.set_device_properties(properties);
    }
    check(graph_.validate(), "validation");
    check(graph_.build_operation_graph(handle_), "the graph");
    check(graph_.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK}), "heuristics");
    // Tensor cores round f32 to tf32.
    if (lab.precision == Precision::fp32) graph_.deselect_numeric_notes({fe::NumericalNote_t::TENSOR_CORE});
    check(graph_.check_support(), "support");
    check(graph_.build_plans(), "the plan");
    int64_t bytes = 0;
    check(graph_.get_workspace_size(bytes), "its workspace");
    if (lab.context) workspace_ = Tensor::empty(*lab.context, {bytes + 1}, DType::u8);
  }

  void run(const Tensors& tensors) const {
    std::unordered_map<int64_t, void*> pointers;
    for (const Place& place : places_) {
      pointers[place.uid] =
          static_cast<char*>(tensors.find(place.name)->second.view().data) + place.first_byte;
    }
    check(graph_.execute(handle_, pointers, workspace_.view().data), "execution");
  }

  ~Plan() {
    if (handle_) (void)fe::detail::destroy_handle(handle_);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

 private:
  struct Place {
    int64_t uid;
    std::string name;
    int64_t first_byte;
  };

  void place(const Attributes& made, const char* name, const Extents& extents, const Extents& strides,
             std::optional<DType> dtype, int64_t offset) {
    const DType type = dtype.value_or(activations_);
    const auto uid = static_cast<int64_t>(places_.size()) + 1;
    made->set_uid(uid).set_dim(extents).set_stride(strides).set_data_type(type_of(type));
    places_.push_back({uid, name, offset * static_cast<int64_t>(size_of(type))});
  }

  DType activations_;
  Graph graph_;
  cudnnHandle_t handle_ = nullptr;
  Tensor workspace_;
  std::vector<Place> places_;
};

void describe(Plan& plan, const CudnnAttention& p) {
  const int64_t width = p.heads * p.head_dim;
  const Extents heads{p.batch, p.heads, p.length, p.head_dim};
  const Extents packed{p.length * 3 * width, p.head_dim, 3 * width, 1};
  const Extents plain{p.length * width, p.head_dim, width, 1};
  const Extents rows{p.batch, p.heads, p.length, 1}, row_strides{p.heads * p.length, p.length, 1, 1};
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.head_dim)));
  const Attributes q = plan.input("qkv", heads, packed), k = plan.input("qkv", heads, packed, {}, width),
                   v = plan.input("qkv", heads, packed, {}, 2 * width);
  if (!p.backward) {
    auto how = fe::graph::SDPA_attributes().set_generate_stats(true).set_attn_scale(scale);
    if (p.causal) how.set_causal_mask(true);
    const auto [out, lse] = plan.graph().sdpa(q, k, v, how);
    plan.output(out, "out", heads, plain);
    plan.output(lse, "lse", rows, row_strides, DType::f32);
    return;
  }
  auto how = fe::graph::SDPA_backward_attributes().set_attn_scale(scale);
  if (p.causal) how.set_causal_mask(true);
  const auto [dq, dk, dv] =
      plan.graph().sdpa_backward(q, k, v, plan.input("out", heads, plain), plan.input("dout", heads, plain),
                                 plan.input("lse", rows, row_strides, DType::f32), how);
  plan.output(dq, "dqkv", heads, packed);
  plan.output(dk, "dqkv", heads, packed, {}, width);
  plan.output(dv, "dqkv", heads, packed, {}, 2 * width);
}

void describe(Plan& plan, const CudnnLayerNorm& p) {
  const Extents all{p.rows, p.width, 1, 1}, all_strides{p.width, 1, p.width, p.width};
  const Extents columns{1, p.width, 1, 1}, rows{p.rows, 1, 1, 1}, row_strides{1, 1, 1, 1};
  const auto parameter = [&](const char* name) { return plan.input(name, columns, all_strides, DType::f32); };
  const Attributes x = plan.input("x", all, all_strides), weight = parameter("weight");
  if (!p.backward) {
    Attributes epsilon = plan.graph().tensor(1e-5f);
    const auto how = fe::graph::Layernorm_attributes()
                         .set_forward_phase(fe::NormFwdPhase_t::TRAINING)
                         .set_epsilon(epsilon);
    const auto [y, mean, rstd] = plan.graph().layernorm(x, weight, parameter("bias"), how);
    plan.output(y, "y", all, all_strides);
    plan.output(mean, "mean", rows, row_strides, DType::f32);
    plan.output(rstd, "rstd", rows, row_strides, DType::f32);
    return;
  }
  const auto statistic = [&](const char* name) { return plan.input(name, rows, row_strides, DType::f32); };
  const auto how = fe::graph::Layernorm_backward_attributes().set_saved_mean_and_inv_variance(
      statistic("mean"), statistic("rstd"));
  const auto [dx, dweight, dbias] =
      plan.graph().layernorm_backward(plan.input("dy", all, all_strides), x, weight, how);
  plan.output(dx, "dx", all, all_strides);
  plan.output(dweight, "dweight", columns, all_strides, DType::f32);
  plan.output(dbias, "dbias", columns, all_strides, DType::f32);
}

void describe(Plan& plan, const CudnnConvolution& p) {
  // cuDNN writes the extents as N, C, H, W; the strides say that the channels come last.
  struct Tensor4 {
    Extents extents, strides;
    Tensor4(int64_t n, int64_t h, int64_t w, int64_t c)
        : extents{n, c, h, w}, strides{h * w * c, 1, w * c, c} {}
  };
  const auto out = [&](int64_t side) { return (side + 2 * p.padding - p.kernel) / p.stride + 1; };
  const Tensor4 x(p.batch, p.height, p.width, p.channels), weight(p.outputs, p.kernel, p.kernel, p.channels),
      y(p.batch, out(p.height), out(p.width), p.outputs);
  const auto input = [&](const char* name, const Tensor4& t) {
    return plan.input(name, t.extents, t.strides);
  };
  const auto shaped = [&](auto how) {
    return how.set_padding({p.padding, p.padding}).set_stride({p.stride, p.stride}).set_dilation({1, 1});
  };
  if (p.pass == ConvolutionPass::forward) {
    const Attributes made = plan.graph().conv_fprop(input("x", x), input("weight", weight),
                                                    shaped(fe::graph::Conv_fprop_attributes()));
    plan.output(made, "y", y.extents, y.strides);
  } else if (p.pass == ConvolutionPass::data_gradient) {
    const Attributes made = plan.graph().conv_dgrad(input("dy", y), input("weight", weight),
                                                    shaped(fe::graph::Conv_dgrad_attributes()));
    plan.output(made, "dx", x.extents, x.strides);
  } else {
    const Attributes made =
        plan.graph().conv_wgrad(input("dy", y), input("x", x), shaped(fe::graph::Conv_wgrad_attributes()));
    plan.output(made, p.dweight.c_str(), weight.extents, weight.strides);
  }
}

template <typename Problem>
Launch prepare(const Problem& problem, const Lab& lab) try {
  load();
  const auto plan = std::make_shared<Plan>(activation_dtype(lab.precision));
  describe(*plan, problem);
  plan->build(lab);
  return [plan](const Tensors& tensors) { plan->run(tensors); };
} catch (const Error&) {
  throw;
} catch (const std::exception& error) {  // the frontend's, where it finds no libcudart.so
  throw Refusal(error.what());
}

template <typename Problem>
Contestant contestant(const Problem& problem) {
  return {.name = "cudnn", .prepare = [problem](Lab& lab, const Tensors&) { return prepare(problem, lab); }};
}

}  // namespace

std::string cudnn_version() try {
  load();
  const size_t version = fe::detail::get_backend_version();
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
} catch (const Refusal& refusal) {
  return fmt::format("none: {}", refusal.what());
}

Contestant cudnn(const CudnnAttention& problem) { return contestant(problem); }
Contestant cudnn(const CudnnLayerNorm& problem) { return contestant(problem); }
Contestant cudnn(const CudnnConvolution& problem) { return contestant(problem); }

}  // namespace cuclip::bench

#else

namespace cuclip::bench {
namespace {

constexpr const char* kAbsent =
    "built without cuDNN's headers or cudnn-frontend's (tests/tools/fetch_cudnn_frontend.sh fetches the "
    "latter)";

Contestant absent() {
  return {.name = "cudnn", .prepare = [](Lab&, const Tensors&) -> Launch { throw Refusal(kAbsent); }};
}

}  // namespace

std::string cudnn_version() { return std::string("none: ") + kAbsent; }
Contestant cudnn(const CudnnAttention&) { return absent(); }
Contestant cudnn(const CudnnLayerNorm&) { return absent(); }
Contestant cudnn(const CudnnConvolution&) { return absent(); }

}  // namespace cuclip::bench

#endif
