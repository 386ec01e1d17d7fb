// Graphs: building, instantiating, launching.
#include <algorithm>
#include <cstring>
#include <set>

#include "runtime/graph.h"

namespace emu {

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
  std::map<const GraphNode*, GraphNode*> twin;
  for (const auto& node : nodes) {
    GraphNode* made = copy->add(node->type, node->work, {});
    made->launch = node->launch;
    made->original = node.get();
    made->enabled = node->enabled;
    twin[node.get()] = made;
  }
  for (const auto& node : nodes) {
    for (GraphNode* before : node->after) twin[node.get()]->after.push_back(twin[before]);
  }
  return copy;
}

std::vector<GraphNode*> Graph::order() const {
  std::vector<GraphNode*> result;
  std::set<const GraphNode*> done;
  while (result.size() < nodes.size()) {
    const size_t before = result.size();
    for (const auto& node : nodes) {
      if (done.contains(node.get())) continue;
      const bool ready =
          std::all_of(node->after.begin(), node->after.end(), [&](GraphNode* n) { return done.contains(n); });
      if (!ready) continue;
      result.push_back(node.get());
      done.insert(node.get());
    }
    if (result.size() == before) return {};
  }
  return result;
}

}  // namespace emu

using namespace emu;

namespace {

Runtime& rt() { return Runtime::get(); }
Graph* graph_of(cudaGraph_t graph) { return reinterpret_cast<Graph*>(graph); }
GraphNode* node_of(cudaGraphNode_t node) { return reinterpret_cast<GraphNode*>(node); }

cudaError_t add(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count,
                cudaGraphNodeType type, std::function<cudaError_t()> work) {
  std::vector<GraphNode*> before;
  for (size_t i = 0; i < count; ++i) before.push_back(node_of(after[i]));
  *node = reinterpret_cast<cudaGraphNode_t>(graph_of(graph)->add(type, std::move(work), std::move(before)));
  return cudaSuccess;
}

cudaError_t instantiate(cudaGraphExec_t* exec, cudaGraph_t graph) {
  auto made = std::make_unique<GraphExec>();
  made->graph = graph_of(graph)->clone();
  made->order = made->graph->order();
  if (made->order.size() != made->graph->nodes.size()) return note(cudaErrorInvalidValue);
  *exec = reinterpret_cast<cudaGraphExec_t>(made.release());
  return cudaSuccess;
}

cudaError_t request_of(const cudaKernelNodeParams& params, LaunchRequest& request) {
  const std::lock_guard lock(rt().mutex);
  request.kernel = rt().find_kernel(params.func);
  request.grid = params.gridDim;
  request.block = params.blockDim;
  request.shared = params.sharedMemBytes;
  request.device = current_device();
  return rt().prepare(request, params.kernelParams);
}

void set_launch(GraphNode& node, LaunchRequest request) {
  node.work = [request] { return rt().execute(request); };
  node.launch = std::move(request);
}

}  // namespace

extern "C" {

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) {
  *graph = reinterpret_cast<cudaGraph_t>(new Graph);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph_of(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphClone(cudaGraph_t* clone, cudaGraph_t graph) {
  *clone = reinterpret_cast<cudaGraph_t>(graph_of(graph)->clone().release());
  return cudaSuccess;
}
cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                  size_t count) {
  return add(node, graph, after, count, cudaGraphNodeTypeEmpty, [] { return cudaSuccess; });
}
cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                 size_t count, const cudaHostNodeParams* params) {
  const cudaHostNodeParams kept = *params;
  return add(node, graph, after, count, cudaGraphNodeTypeHost, [kept] {
    kept.fn(kept.userData);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                     size_t count, void* to, const void* from, size_t size, cudaMemcpyKind) {
  return add(node, graph, after, count, cudaGraphNodeTypeMemcpy, [=] {
    std::memmove(to, from, size);
    rt().heap.define(reinterpret_cast<u64>(to), size);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                   size_t count, const cudaMemsetParams* params) {
  const cudaMemsetParams p = *params;
  return add(node, graph, after, count, cudaGraphNodeTypeMemset, [p] {
    for (size_t row = 0; row < p.height; ++row) {
      u8* at = static_cast<u8*>(p.dst) + row * p.pitch;
      for (size_t i = 0; i < p.width; ++i) std::memcpy(at + i * p.elementSize, &p.value, p.elementSize);
      rt().heap.define(reinterpret_cast<u64>(at), p.width * p.elementSize);
    }
    return cudaSuccess;
  });
}
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                   size_t count, const cudaKernelNodeParams* params) {
  LaunchRequest request;
  const cudaError_t error = request_of(*params, request);
  if (error != cudaSuccess) return note(error);
  add(node, graph, after, count, cudaGraphNodeTypeKernel, nullptr);
  set_launch(*node_of(*node), std::move(request));
  return cudaSuccess;
}
cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                       size_t count, cudaGraph_t child) {
  const std::shared_ptr<Graph> inner = graph_of(child)->clone();
  return add(node, graph, after, count, cudaGraphNodeTypeGraph, [inner] {
    for (GraphNode* each : inner->order()) {
      if (const cudaError_t error = each->work(); error != cudaSuccess) return error;
    }
    return cudaSuccess;
  });
}
cudaError_t cudaGraphAddDependencies(cudaGraph_t, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                     const cudaGraphEdgeData*, size_t count) {
  for (size_t i = 0; i < count; ++i) node_of(to[i])->after.push_back(node_of(from[i]));
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  const auto& all = graph_of(graph)->nodes;
  if (nodes != nullptr) {
    for (size_t i = 0; i < std::min(*count, all.size()); ++i)
      nodes[i] = reinterpret_cast<cudaGraphNode_t>(all[i].get());
  }
  *count = all.size();
  return cudaSuccess;
}
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  *type = node_of(node)->type;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return instantiate(exec, graph);
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return instantiate(exec, graph);
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete reinterpret_cast<GraphExec*>(exec);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  auto* graph = reinterpret_cast<GraphExec*>(exec);
  return note(rt().enqueue(stream, cudaGraphNodeTypeGraph, [graph] {
    for (GraphNode* node : graph->order) {
      if (!node->enabled) continue;
      if (const cudaError_t error = node->work(); error != cudaSuccess) return error;
    }
    return cudaSuccess;
  }));
}
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* params) {
  LaunchRequest request;
  const cudaError_t error = request_of(*params, request);
  if (error != cudaSuccess) return note(error);
  for (const auto& each : reinterpret_cast<GraphExec*>(exec)->graph->nodes) {
    if (each->original == node_of(node)) {
      set_launch(*each, std::move(request));
      return cudaSuccess;
    }
  }
  return note(cudaErrorInvalidValue);
}
// The new graph must have the same nodes; their work replaces the old.
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo* info) {
  auto* target = reinterpret_cast<GraphExec*>(exec);
  auto fresh = graph_of(graph)->clone();
  bool same = fresh->nodes.size() == target->graph->nodes.size();
  for (size_t i = 0; same && i < fresh->nodes.size(); ++i)
    same = fresh->nodes[i]->type == target->graph->nodes[i]->type;
  if (info != nullptr) *info = {};
  if (!same) {
    if (info != nullptr) info->result = cudaGraphExecUpdateErrorTopologyChanged;
    return note(cudaErrorGraphExecUpdateFailure);
  }
  target->graph = std::move(fresh);
  target->order = target->graph->order();
  if (info != nullptr) info->result = cudaGraphExecUpdateSuccess;
  return cudaSuccess;
}

}  // extern "C"
