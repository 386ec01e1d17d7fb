// Graphs: nodes are pieces of work with predecessors.
#pragma once

#include "runtime/runtime.h"

namespace emu {

struct GraphNode {
  cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
  std::function<cudaError_t()> work;
  std::vector<GraphNode*> after;  // predecessors
  std::optional<LaunchRequest> launch;
  Graph* graph = nullptr;
  GraphNode* original = nullptr;  // of a clone's node
  bool enabled = true;
};

struct Graph {
  std::vector<std::unique_ptr<GraphNode>> nodes;
  u64 id = 0;
  GraphNode* add(cudaGraphNodeType type, std::function<cudaError_t()> work, std::vector<GraphNode*> after);
  std::unique_ptr<Graph> clone() const;
  /// Nodes so that predecessors come first; empty when there is a cycle.
  std::vector<GraphNode*> order() const;
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

}  // namespace emu
