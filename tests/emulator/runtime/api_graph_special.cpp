// Nodes that allocate and free, that copy from and to symbols, and attributes of kernels.
#include "runtime/graph.h"

using namespace emu;

namespace {

/// Calls `use` with the address of a byte of a variable.
template <class Use>
cudaError_t with_symbol(const void* symbol, size_t offset, const Use& use) {
  void* start = nullptr;
  const cudaError_t error = cudaGetSymbolAddress(&start, symbol);
  return error != cudaSuccess ? error : use(static_cast<u8*>(start) + offset);
}

bool is_attribute(GraphNode& node, int id) {
  const bool known = id == cudaLaunchAttributeCooperative || id == cudaLaunchAttributePriority ||
                     id == cudaLaunchAttributeAccessPolicyWindow || id == cudaLaunchAttributeMemSyncDomain;
  if (!known) report("attribute " + std::to_string(id) + " of a graph's kernel is not supported");
  return known && node.launch() != nullptr;
}

}  // namespace

extern "C" {

cudaError_t cudaGraphAddMemAllocNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                     size_t count, cudaMemAllocNodeParams* params) {
  return add_node(node, graph, after, count, cudaGraphNodeTypeMemAlloc, [&](GraphNode& n) {
    if (params->poolProps.location.type != cudaMemLocationTypeDevice || params->bytesize == 0)
      return cudaErrorInvalidValue;
    GraphMemory* memory = n.graph->allocate(params->bytesize, params->poolProps.location.id);
    if (memory == nullptr) return cudaErrorMemoryAllocation;
    params->dptr = reinterpret_cast<void*>(memory->address);
    n.parameters = *params;
    n.work = [memory] { return memory->allocate(); };
    return cudaSuccess;
  });
}
cudaError_t cudaGraphAddMemFreeNode(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after,
                                    size_t count, void* pointer) {
  return add_node(node, graph, after, count, cudaGraphNodeTypeMemFree, [&](GraphNode& n) {
    if (GraphMemory::at(pointer) == nullptr) return cudaErrorInvalidValue;
    n.parameters = FreedPointer{pointer};
    n.work = [pointer] {
      GraphMemory* memory = GraphMemory::at(pointer);
      return memory != nullptr ? memory->release() : cudaErrorInvalidValue;
    };
    return cudaSuccess;
  });
}
cudaError_t cudaGraphMemAllocNodeGetParams(cudaGraphNode_t node, cudaMemAllocNodeParams* params) {
  return node_parameters(node, params);
}
cudaError_t cudaGraphMemFreeNodeGetParams(cudaGraphNode_t node, void* pointer) {
  return node_parameters(node, static_cast<FreedPointer*>(pointer));
}

cudaError_t cudaGraphAddMemcpyNodeToSymbol(cudaGraphNode_t* node, cudaGraph_t graph,
                                           const cudaGraphNode_t* after, size_t count, const void* symbol,
                                           const void* from, size_t size, size_t offset,
                                           cudaMemcpyKind kind) {
  return with_symbol(symbol, offset, [&](void* to) {
    return cudaGraphAddMemcpyNode1D(node, graph, after, count, to, from, size, kind);
  });
}
cudaError_t cudaGraphAddMemcpyNodeFromSymbol(cudaGraphNode_t* node, cudaGraph_t graph,
                                             const cudaGraphNode_t* after, size_t count, void* to,
                                             const void* symbol, size_t size, size_t offset,
                                             cudaMemcpyKind kind) {
  return with_symbol(symbol, offset, [&](void* from) {
    return cudaGraphAddMemcpyNode1D(node, graph, after, count, to, from, size, kind);
  });
}
cudaError_t cudaGraphMemcpyNodeSetParamsToSymbol(cudaGraphNode_t node, const void* symbol, const void* from,
                                                 size_t size, size_t offset, cudaMemcpyKind kind) {
  return with_symbol(symbol, offset,
                     [&](void* to) { return cudaGraphMemcpyNodeSetParams1D(node, to, from, size, kind); });
}
cudaError_t cudaGraphMemcpyNodeSetParamsFromSymbol(cudaGraphNode_t node, void* to, const void* symbol,
                                                   size_t size, size_t offset, cudaMemcpyKind kind) {
  return with_symbol(symbol, offset,
                     [&](void* from) { return cudaGraphMemcpyNodeSetParams1D(node, to, from, size, kind); });
}
cudaError_t cudaGraphExecMemcpyNodeSetParamsToSymbol(cudaGraphExec_t exec, cudaGraphNode_t node,
                                                     const void* symbol, const void* from, size_t size,
                                                     size_t offset, cudaMemcpyKind kind) {
  return with_symbol(symbol, offset, [&](void* to) {
    return cudaGraphExecMemcpyNodeSetParams1D(exec, node, to, from, size, kind);
  });
}
cudaError_t cudaGraphExecMemcpyNodeSetParamsFromSymbol(cudaGraphExec_t exec, cudaGraphNode_t node, void* to,
                                                       const void* symbol, size_t size, size_t offset,
                                                       cudaMemcpyKind kind) {
  return with_symbol(symbol, offset, [&](void* from) {
    return cudaGraphExecMemcpyNodeSetParams1D(exec, node, to, from, size, kind);
  });
}

// All but the first are hints.
cudaError_t cudaGraphKernelNodeSetAttribute(cudaGraphNode_t node, cudaLaunchAttributeID id,
                                            const cudaLaunchAttributeValue* value) {
  GraphNode& n = *node_of(node);
  if (!is_attribute(n, id)) return note(cudaErrorInvalidValue);
  n.attributes[id] = *value;
  if (id != cudaLaunchAttributeCooperative) return cudaSuccess;
  n.launch()->cooperative = value->cooperative != 0;
  n.work = [request = *n.launch()] { return Runtime::get().execute(request); };
  return cudaSuccess;
}
cudaError_t cudaGraphKernelNodeGetAttribute(cudaGraphNode_t node, cudaLaunchAttributeID id,
                                            cudaLaunchAttributeValue* value) {
  GraphNode& n = *node_of(node);
  if (!is_attribute(n, id)) return note(cudaErrorInvalidValue);
  *value = n.attributes[id];
  if (id == cudaLaunchAttributeCooperative) value->cooperative = n.launch()->cooperative ? 1 : 0;
  return cudaSuccess;
}
cudaError_t cudaGraphKernelNodeCopyAttributes(cudaGraphNode_t to, cudaGraphNode_t from) {
  for (const auto& [id, value] : node_of(from)->attributes) {
    const auto name = static_cast<cudaLaunchAttributeID>(id);
    if (const cudaError_t error = cudaGraphKernelNodeSetAttribute(to, name, &value); error != cudaSuccess)
      return error;
  }
  return cudaSuccess;
}

}  // extern "C"
