// The nodes of graphs: adding, connecting, asking, changing.
#include <algorithm>

#include "runtime/graph.h"

using namespace emu;

namespace {

/// A list the way that these functions give it: its length, and as much of it as the caller has room for.
cudaError_t give(const std::vector<GraphNode*>& list, cudaGraphNode_t* nodes, size_t* count) {
  for (size_t i = 0; nodes != nullptr && i < std::min(*count, list.size()); ++i)
    nodes[i] = reinterpret_cast<cudaGraphNode_t>(list[i]);
  *count = nodes != nullptr ? std::min(*count, list.size()) : list.size();
  return cudaSuccess;
}

bool is(cudaGraphNode_t node, cudaGraphNodeType type) { return node_of(node)->type == type; }

cudaKernelNodeParams plain(const cudaKernelNodeParamsV2& p) {
  cudaKernelNodeParams result{};
  result.func = p.func;
  result.gridDim = p.gridDim;
  result.blockDim = p.blockDim;
  result.sharedMemBytes = p.sharedMemBytes;
  result.kernelParams = p.kernelParams;
  return result;
}
cudaMemsetParams plain(const cudaMemsetParamsV2& p) {
  return {p.dst, p.pitch, p.value, p.elementSize, p.width, p.height};
}

/// Gives a node of any type the parameters of that type.
cudaError_t set_any(GraphNode& node, const cudaGraphNodeParams& p) {
  switch (p.type) {
    case cudaGraphNodeTypeKernel:
      return set_kernel(node, plain(p.kernel));
    case cudaGraphNodeTypeMemcpy:
      return set_copy(node, p.memcpy.copyParams);
    case cudaGraphNodeTypeMemset:
      return set_memset(node, plain(p.memset));
    case cudaGraphNodeTypeHost:
      set_host(node, {p.host.fn, p.host.userData});
      return cudaSuccess;
    case cudaGraphNodeTypeGraph:
      set_child(node, graph_of(p.graph.graph)->clone());
      return cudaSuccess;
    case cudaGraphNodeTypeEventRecord:
      set_event(node, p.eventRecord.event);
      return cudaSuccess;
    case cudaGraphNodeTypeWaitEvent:
      set_event(node, p.eventWait.event);
      return cudaSuccess;
    case cudaGraphNodeTypeEmpty:
      return cudaSuccess;
    default:
      report("graph nodes of type " + std::to_string(p.type) + " are not supported");
      return cudaErrorNotSupported;
  }
}

cudaError_t replace(cudaGraphNode_t node, const cudaGraphNodeParams& params) {
  return note(is(node, params.type) ? set_any(*node_of(node), params) : cudaErrorInvalidValue);
}

}  // namespace

extern "C" {

cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                  size_t count) {
  return add_node(node, graph, after, count, cudaGraphNodeTypeEmpty, [](GraphNode&) { return cudaSuccess; });
}
cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                 size_t count, const cudaHostNodeParams* params) {
  return add_node(node, graph, after, count, cudaGraphNodeTypeHost, [&](GraphNode& n) {
    set_host(n, *params);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphAddMemcpyNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                   size_t count, const cudaMemcpy3DParms* params) {
  return add_node(node, graph, after, count, cudaGraphNodeTypeMemcpy,
                  [&](GraphNode& n) { return set_copy(n, *params); });
}
cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                     size_t count, void* to, const void* from, size_t size,
                                     cudaMemcpyKind kind) {
  const cudaMemcpy3DParms params = row_copy(to, size, from, size, size, 1, kind);
  return cudaGraphAddMemcpyNode(node, graph, after, count, &params);
}
cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                   size_t count, const cudaMemsetParams* params) {
  return add_node(node, graph, after, count, cudaGraphNodeTypeMemset,
                  [&](GraphNode& n) { return set_memset(n, *params); });
}
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                   size_t count, const cudaKernelNodeParams* params) {
  return add_node(node, graph, after, count, cudaGraphNodeTypeKernel,
                  [&](GraphNode& n) { return set_kernel(n, *params); });
}
cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                       size_t count, cudaGraph_t child) {
  return add_node(node, graph, after, count, cudaGraphNodeTypeGraph, [&](GraphNode& n) {
    set_child(n, graph_of(child)->clone());
    return cudaSuccess;
  });
}
cudaError_t cudaGraphAddEventRecordNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                        const cudaGraphNode_t* after, size_t count, cudaEvent_t event) {
  return add_node(node, graph, after, count, cudaGraphNodeTypeEventRecord, [&](GraphNode& n) {
    set_event(n, event);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphAddEventWaitNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                      size_t count, cudaEvent_t event) {
  return add_node(node, graph, after, count, cudaGraphNodeTypeWaitEvent, [&](GraphNode& n) {
    set_event(n, event);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphAddNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                             const cudaGraphEdgeData*, size_t count, cudaGraphNodeParams* params) {
  return add_node(node, graph, after, count, params->type, [&](GraphNode& n) { return set_any(n, *params); });
}
cudaError_t cudaGraphNodeSetParams(cudaGraphNode_t node, cudaGraphNodeParams* params) {
  return replace(node, *params);
}
cudaError_t cudaGraphExecNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,
                                       cudaGraphNodeParams* params) {
  GraphNode* twin = reinterpret_cast<GraphExec*>(exec)->graph->twin(node_of(node));
  if (twin == nullptr) return note(cudaErrorInvalidValue);
  return replace(reinterpret_cast<cudaGraphNode_t>(twin), *params);
}
cudaError_t cudaGraphDestroyNode(cudaGraphNode_t node) {
  auto& all = node_of(node)->graph->nodes;
  for (const auto& other : all) std::erase(other->after, node_of(node));
  std::erase_if(all, [&](const auto& each) { return each.get() == node_of(node); });
  return cudaSuccess;
}

cudaError_t cudaGraphAddDependencies(cudaGraph_t, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                     const cudaGraphEdgeData*, size_t count) {
  for (size_t i = 0; i < count; ++i) node_of(to[i])->after.push_back(node_of(from[i]));
  return cudaSuccess;
}
cudaError_t cudaGraphRemoveDependencies(cudaGraph_t, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                        const cudaGraphEdgeData*, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (std::erase(node_of(to[i])->after, node_of(from[i])) == 0) return note(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  std::vector<GraphNode*> all;
  for (const auto& node : graph_of(graph)->nodes) all.push_back(node.get());
  return give(all, nodes, count);
}
cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  std::vector<GraphNode*> roots;
  for (const auto& node : graph_of(graph)->nodes) {
    if (node->after.empty()) roots.push_back(node.get());
  }
  return give(roots, nodes, count);
}
cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to,
                              cudaGraphEdgeData* data, size_t* count) {
  std::vector<GraphNode*> sources, targets;
  for (const auto& node : graph_of(graph)->nodes) {
    sources.insert(sources.end(), node->after.begin(), node->after.end());
    targets.insert(targets.end(), node->after.size(), node.get());
  }
  for (size_t i = 0; data != nullptr && i < std::min(*count, sources.size()); ++i) data[i] = {};
  size_t again = *count;
  give(sources, from, &again);
  return give(targets, to, count);
}
cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t* nodes, cudaGraphEdgeData*,
                                         size_t* count) {
  return give(node_of(node)->after, nodes, count);
}
cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t node, cudaGraphNode_t* nodes, cudaGraphEdgeData*,
                                           size_t* count) {
  std::vector<GraphNode*> dependent;
  for (const auto& other : node_of(node)->graph->nodes) {
    if (std::count(other->after.begin(), other->after.end(), node_of(node)) != 0)
      dependent.push_back(other.get());
  }
  return give(dependent, nodes, count);
}
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  *type = node_of(node)->type;
  return cudaSuccess;
}
cudaError_t cudaGraphNodeFindInClone(cudaGraphNode_t* twin, cudaGraphNode_t node, cudaGraph_t clone) {
  GraphNode* found = graph_of(clone)->twin(node_of(node));
  *twin = reinterpret_cast<cudaGraphNode_t>(found);
  return note(found != nullptr ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* params) {
  GraphNode& n = *node_of(node);
  LaunchRequest* launch = n.launch();
  if (launch == nullptr) return note(cudaErrorInvalidValue);
  n.arguments.clear();
  LockedModules modules = Runtime::get().modules();
  for (u32 offset : modules->image(*launch->kernel, launch->device).entry->parameter_offset)
    n.arguments.push_back(launch->parameters.data() + offset);
  *params = {};
  params->func = const_cast<void*>(launch->kernel->host != nullptr ? launch->kernel->host : launch->kernel);
  params->gridDim = launch->grid;
  params->blockDim = launch->block;
  params->sharedMemBytes = static_cast<unsigned>(launch->shared);
  params->kernelParams = n.arguments.data();
  return cudaSuccess;
}
cudaError_t cudaGraphKernelNodeSetParams(cudaGraphNode_t node, const cudaKernelNodeParams* params) {
  if (!is(node, cudaGraphNodeTypeKernel)) return note(cudaErrorInvalidValue);
  return note(set_kernel(*node_of(node), *params));
}
cudaError_t cudaGraphMemcpyNodeGetParams(cudaGraphNode_t node, cudaMemcpy3DParms* params) {
  return node_parameters(node, params);
}
cudaError_t cudaGraphMemcpyNodeSetParams(cudaGraphNode_t node, const cudaMemcpy3DParms* params) {
  if (!is(node, cudaGraphNodeTypeMemcpy)) return note(cudaErrorInvalidValue);
  return note(set_copy(*node_of(node), *params));
}
cudaError_t cudaGraphMemcpyNodeSetParams1D(cudaGraphNode_t node, void* to, const void* from, size_t size,
                                           cudaMemcpyKind kind) {
  const cudaMemcpy3DParms params = row_copy(to, size, from, size, size, 1, kind);
  return cudaGraphMemcpyNodeSetParams(node, &params);
}
cudaError_t cudaGraphMemsetNodeGetParams(cudaGraphNode_t node, cudaMemsetParams* params) {
  return node_parameters(node, params);
}
cudaError_t cudaGraphMemsetNodeSetParams(cudaGraphNode_t node, const cudaMemsetParams* params) {
  if (!is(node, cudaGraphNodeTypeMemset)) return note(cudaErrorInvalidValue);
  return note(set_memset(*node_of(node), *params));
}
cudaError_t cudaGraphHostNodeGetParams(cudaGraphNode_t node, cudaHostNodeParams* params) {
  return node_parameters(node, params);
}
cudaError_t cudaGraphHostNodeSetParams(cudaGraphNode_t node, const cudaHostNodeParams* params) {
  if (!is(node, cudaGraphNodeTypeHost)) return note(cudaErrorInvalidValue);
  set_host(*node_of(node), *params);
  return cudaSuccess;
}
cudaError_t cudaGraphEventRecordNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event) {
  return node_parameters(node, event);
}
cudaError_t cudaGraphEventWaitNodeGetEvent(cudaGraphNode_t node, cudaEvent_t* event) {
  return node_parameters(node, event);
}
cudaError_t cudaGraphChildGraphNodeGetGraph(cudaGraphNode_t node, cudaGraph_t* graph) {
  std::shared_ptr<Graph> child;
  const cudaError_t error = node_parameters(node, &child);
  *graph = reinterpret_cast<cudaGraph_t>(child.get());
  return error;
}

}  // extern "C"
