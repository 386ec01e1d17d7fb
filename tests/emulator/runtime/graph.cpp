// What graphs are made of: nodes, their work, their order.
#include "runtime/graph.h"

#include <algorithm>
#include <random>
#include <set>

namespace emu {
namespace {

Runtime& rt() { return Runtime::get(); }

bool ready(const GraphNode& node, const std::set<const GraphNode*>& done) {
  return !done.contains(&node) &&
         std::all_of(node.after.begin(), node.after.end(), [&](GraphNode* n) { return done.contains(n); });
}

}  // namespace

GraphNode* Graph::add(cudaGraphNodeType type, std::function<cudaError_t()> work,
                      std::vector<GraphNode*> after) {
  auto node = std::make_unique<GraphNode>();
  node->type = type;
  node->work = std::move(work);
  node->after = std::move(after);
  node->graph = this;
  nodes.push_back(std::move(node));
  return nodes.back().get();
}

std::unique_ptr<Graph> Graph::clone() const {
  auto copy = std::make_unique<Graph>();
  copy->kept = kept;
  std::map<const GraphNode*, GraphNode*> twins;
  for (const auto& node : nodes) {
    GraphNode* made = copy->add(node->type, node->work, {});
    *made = *node;
    made->graph = copy.get();
    made->original = node.get();
    twins[node.get()] = made;
  }
  for (const auto& node : copy->nodes) {
    for (GraphNode*& before : node->after) before = twins[before];
  }
  return copy;
}

std::vector<GraphNode*> Graph::order() const {
  const Options& options = rt().settings.options;
  static thread_local std::minstd_rand random(static_cast<unsigned>(options.seed));
  std::vector<GraphNode*> result;
  std::set<const GraphNode*> done;
  while (result.size() < nodes.size()) {
    std::vector<GraphNode*> next;
    for (const auto& node : nodes) {
      if (ready(*node, done)) next.push_back(node.get());
    }
    if (next.empty()) return {};
    GraphNode* chosen = next[options.random_schedule ? random() % next.size() : 0];
    result.push_back(chosen);
    done.insert(chosen);
  }
  return result;
}

GraphNode* Graph::twin(const GraphNode* node) const {
  for (const auto& each : nodes) {
    if (each->original == node) return each.get();
  }
  return nullptr;
}

cudaError_t Graph::run() const {
  for (const GraphNode* node : order()) {
    if (!node->enabled) continue;
    if (const cudaError_t error = node->work(); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t set_kernel(GraphNode& node, const cudaKernelNodeParams& params) {
  LaunchRequest request;
  {
    LockedModules modules = rt().modules();
    request.kernel = modules->find_kernel(params.func);
    request.grid = params.gridDim;
    request.block = params.blockDim;
    request.shared = params.sharedMemBytes;
    request.device = current_device();
    const cudaError_t error = rt().prepare(*modules, request, params.kernelParams);
    if (error != cudaSuccess) return error;
  }
  node.parameters = request;
  node.work = [request] { return rt().execute(request); };
  return cudaSuccess;
}

cudaError_t set_copy(GraphNode& node, const cudaMemcpy3DParms& params) {
  const cudaError_t error = check_copy_3d(params);
  if (error != cudaSuccess) return error;
  node.parameters = params;
  node.work = [params] {
    copy_3d(params);
    return cudaSuccess;
  };
  return cudaSuccess;
}

cudaError_t set_memset(GraphNode& node, const cudaMemsetParams& params) {
  const unsigned size = params.elementSize;
  if (size != 1 && size != 2 && size != 4) return cudaErrorInvalidValue;
  if (params.width == 0 || params.height == 0) return cudaErrorInvalidValue;
  const size_t last = (params.height - 1) * params.pitch + params.width * size;
  if (!range_fits(params.dst, last, true)) return cudaErrorInvalidValue;
  node.parameters = params;
  node.work = [params] {
    fill_rows(params);
    return cudaSuccess;
  };
  return cudaSuccess;
}

void set_host(GraphNode& node, const cudaHostNodeParams& params) {
  node.parameters = params;
  node.work = [params] {
    params.fn(params.userData);
    return cudaSuccess;
  };
}

void set_event(GraphNode& node, cudaEvent_t event) {
  node.parameters = event;
  const bool records = node.type == cudaGraphNodeTypeEventRecord;
  node.work = [=] { return records ? cudaEventRecord(event, nullptr) : cudaSuccess; };
}

void set_child(GraphNode& node, std::shared_ptr<Graph> child) {
  node.parameters = child;
  node.work = [child = std::move(child)] { return child->run(); };
}

}  // namespace emu
