// Graphs: making, instantiating, launching, updating.
#include <cstdio>

#include "runtime/graph.h"

using namespace emu;

namespace {

Runtime& rt() { return Runtime::get(); }

cudaError_t instantiate(cudaGraphExec_t* exec, cudaGraph_t graph, u64 flags) {
  if (exec == nullptr || graph == nullptr) return note(cudaErrorInvalidValue);
  auto made = std::make_unique<GraphExec>();
  made->flags = flags;
  made->graph = graph_of(graph)->clone();
  made->order = made->graph->order();
  if (made->order.size() != made->graph->nodes.size()) return note(cudaErrorInvalidValue);
  *exec = reinterpret_cast<cudaGraphExec_t>(made.release());
  return cudaSuccess;
}

/// The instantiated node that was made from a graph's; null when there is none, or its type is another.
GraphNode* instance(cudaGraphExec_t exec, cudaGraphNode_t node, cudaGraphNodeType type) {
  GraphNode* found = reinterpret_cast<GraphExec*>(exec)->graph->twin(node_of(node));
  return found != nullptr && found->type == type ? found : nullptr;
}

/// Changes an instantiated node.
template <class Change>
cudaError_t change(cudaGraphExec_t exec, cudaGraphNode_t node, cudaGraphNodeType type, const Change& apply) {
  GraphNode* found = instance(exec, node, type);
  return note(found != nullptr ? apply(*found) : cudaErrorInvalidValue);
}

}  // namespace

extern "C" {

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned flags) {
  if (graph == nullptr || flags != 0) return note(cudaErrorInvalidValue);
  *graph = reinterpret_cast<cudaGraph_t>(new Graph);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  if (graph == nullptr) return note(cudaErrorInvalidValue);
  delete graph_of(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphClone(cudaGraph_t* clone, cudaGraph_t graph) {
  *clone = reinterpret_cast<cudaGraph_t>(graph_of(graph)->clone().release());
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return instantiate(exec, graph, flags);
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph,
                                          unsigned long long flags) {
  return instantiate(exec, graph, flags);
}
cudaError_t cudaGraphInstantiateWithParams(cudaGraphExec_t* exec, cudaGraph_t graph,
                                           cudaGraphInstantiateParams* params) {
  const cudaError_t error = instantiate(exec, graph, params->flags);
  params->errNode_out = nullptr;
  params->result_out = error == cudaSuccess ? cudaGraphInstantiateSuccess : cudaGraphInstantiateError;
  return error;
}
cudaError_t cudaGraphExecGetFlags(cudaGraphExec_t exec, unsigned long long* flags) {
  *flags = reinterpret_cast<GraphExec*>(exec)->flags;
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  if (exec == nullptr) return note(cudaErrorInvalidValue);
  delete reinterpret_cast<GraphExec*>(exec);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (exec == nullptr) return note(cudaErrorInvalidValue);
  auto* graph = reinterpret_cast<GraphExec*>(exec);
  if (capturing(stream) != nullptr) {  // it becomes a child, and may change or go
    const std::shared_ptr<Graph> child = graph->graph->clone();
    return note(rt().enqueue(
        stream, cudaGraphNodeTypeGraph, [child] { return child->run(); }, child));
  }
  return note(rt().enqueue(stream, cudaGraphNodeTypeGraph, [graph] {
    for (const GraphNode* node : graph->order) {
      if (!node->enabled) continue;
      if (const cudaError_t error = node->work(); error != cudaSuccess) return error;
    }
    return cudaSuccess;
  }));
}
cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* params) {
  return change(exec, node, cudaGraphNodeTypeKernel, [&](GraphNode& n) { return set_kernel(n, *params); });
}
cudaError_t cudaGraphExecMemcpyNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaMemcpy3DParms* params) {
  return change(exec, node, cudaGraphNodeTypeMemcpy, [&](GraphNode& n) { return set_copy(n, *params); });
}
cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void* to,
                                               const void* from, size_t size, cudaMemcpyKind kind) {
  const cudaMemcpy3DParms params = row_copy(to, size, from, size, size, 1, kind);
  return cudaGraphExecMemcpyNodeSetParams(exec, node, &params);
}
cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                             const cudaMemsetParams* params) {
  return change(exec, node, cudaGraphNodeTypeMemset, [&](GraphNode& n) { return set_memset(n, *params); });
}
cudaError_t cudaGraphExecHostNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                           const cudaHostNodeParams* params) {
  return change(exec, node, cudaGraphNodeTypeHost, [&](GraphNode& n) {
    set_host(n, *params);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphExecChildGraphNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                                 cudaGraph_t child) {
  return change(exec, node, cudaGraphNodeTypeGraph, [&](GraphNode& n) {
    set_child(n, graph_of(child)->clone());
    return cudaSuccess;
  });
}
cudaError_t cudaGraphExecEventRecordNodeSetEvent(cudaGraphExec_t exec, cudaGraphNode_t node,
                                                 cudaEvent_t event) {
  return change(exec, node, cudaGraphNodeTypeEventRecord, [&](GraphNode& n) {
    set_event(n, event);
    return cudaSuccess;
  });
}
// Only kernels, memsets and copies can be switched off.
cudaError_t cudaGraphNodeSetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned enabled) {
  GraphNode* found = reinterpret_cast<GraphExec*>(exec)->graph->twin(node_of(node));
  const bool can =
      found != nullptr && (found->type == cudaGraphNodeTypeKernel || found->type == cudaGraphNodeTypeMemset ||
                           found->type == cudaGraphNodeTypeMemcpy);
  if (!can) return note(cudaErrorInvalidValue);
  found->enabled = enabled != 0;
  return cudaSuccess;
}
cudaError_t cudaGraphNodeGetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned* enabled) {
  const GraphNode* found = reinterpret_cast<GraphExec*>(exec)->graph->twin(node_of(node));
  if (found == nullptr) return note(cudaErrorInvalidValue);
  *enabled = found->enabled ? 1 : 0;
  return cudaSuccess;
}
// The new graph must have the same nodes in the same order; their work replaces the old. Later changes still
// name the nodes of the graph that was instantiated.
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo* info) {
  auto* target = reinterpret_cast<GraphExec*>(exec);
  auto fresh = graph_of(graph)->clone();
  auto& old = target->graph->nodes;
  bool same = fresh->nodes.size() == old.size();
  for (size_t i = 0; same && i < old.size(); ++i) {
    same = fresh->nodes[i]->type == old[i]->type && fresh->nodes[i]->after.size() == old[i]->after.size();
  }
  if (info != nullptr) *info = {};
  if (!same) {
    if (info != nullptr) info->result = cudaGraphExecUpdateErrorTopologyChanged;
    return note(cudaErrorGraphExecUpdateFailure);
  }
  for (size_t i = 0; i < old.size(); ++i) {
    fresh->nodes[i]->original = old[i]->original;
    fresh->nodes[i]->enabled = old[i]->enabled;
  }
  target->graph = std::move(fresh);
  target->order = target->graph->order();
  if (info != nullptr) info->result = cudaGraphExecUpdateSuccess;
  return cudaSuccess;
}
cudaError_t cudaGraphDebugDotPrint(cudaGraph_t graph, const char* path, unsigned) {
  std::FILE* file = std::fopen(path, "w");
  if (file == nullptr) return note(cudaErrorOperatingSystem);
  std::fprintf(file, "digraph graph_%llu {\n", static_cast<unsigned long long>(graph_of(graph)->id));
  std::map<const GraphNode*, size_t> number;
  for (const auto& node : graph_of(graph)->nodes) {
    const size_t index = number.emplace(node.get(), number.size()).first->second;
    const std::string name =
        node->launch() != nullptr ? node->launch()->kernel->name : "type " + std::to_string(node->type);
    std::fprintf(file, "  n%zu [label=\"%s\"];\n", index, name.c_str());
  }
  for (const auto& node : graph_of(graph)->nodes) {
    for (const GraphNode* before : node->after)
      std::fprintf(file, "  n%zu -> n%zu;\n", number[before], number[node.get()]);
  }
  std::fprintf(file, "}\n");
  return note(std::fclose(file) == 0 ? cudaSuccess : cudaErrorOperatingSystem);
}

}  // extern "C"
