// Graphs: nodes are pieces of work with predecessors.
#pragma once

#include <variant>

#include "runtime/runtime.h"

namespace emu {

struct Graph;

struct GraphNode {
  cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
  std::function<cudaError_t()> work;
  std::vector<GraphNode*> after;  // predecessors
  std::optional<LaunchRequest> launch;
  const void* function = nullptr;  // the kernel, as the program named it
  std::vector<void*> arguments;    // into launch->parameters
  /// What the program gave, for those who ask.
  std::variant<std::monostate, cudaMemcpy3DParms, cudaMemsetParams, cudaHostNodeParams, cudaEvent_t> given;
  std::shared_ptr<Graph> child;
  Graph* graph = nullptr;
  GraphNode* original = nullptr;  // of a clone's node
  bool enabled = true;
};

struct Graph {
  std::vector<std::unique_ptr<GraphNode>> nodes;
  u64 id = 0;
  std::vector<std::shared_ptr<void>> kept;  // memory that it frees itself
  GraphNode* add(cudaGraphNodeType type, std::function<cudaError_t()> work, std::vector<GraphNode*> after);
  std::unique_ptr<Graph> clone() const;
  /// Nodes so that predecessors come first; empty when there is a cycle.
  std::vector<GraphNode*> order() const;
  /// The clone's node that was made from `node`; null when there is none.
  GraphNode* twin(const GraphNode* node) const;
  cudaError_t run() const;
};

/// An instantiated graph.
struct GraphExec {
  std::unique_ptr<Graph> graph;
  std::vector<GraphNode*> order;
};

struct Event {
  unsigned flags = 0;
  double seconds = 0;
  bool recorded = false;
  Graph* capture = nullptr;
  std::vector<GraphNode*> frontier;
};

Stream& stream_of(cudaStream_t stream);

inline Graph* graph_of(cudaGraph_t graph) { return reinterpret_cast<Graph*>(graph); }
inline GraphNode* node_of(cudaGraphNode_t node) { return reinterpret_cast<GraphNode*>(node); }

/// Give a node its work, from checked parameters (graph.cpp).
cudaError_t set_kernel(GraphNode& node, const cudaKernelNodeParams& params);
cudaError_t set_copy(GraphNode& node, const cudaMemcpy3DParms& params);
cudaError_t set_memset(GraphNode& node, const cudaMemsetParams& params);
void set_host(GraphNode& node, const cudaHostNodeParams& params);
void set_event(GraphNode& node, cudaEvent_t event);
void set_child(GraphNode& node, const Graph& child);

/// A copy of bytes in a row, as a box.
cudaMemcpy3DParms row_copy(void* to, const void* from, size_t size, cudaMemcpyKind kind);

}  // namespace emu
