// Graphs: nodes are pieces of work with predecessors.
#pragma once

#include "runtime/runtime.h"

namespace emu {

struct Graph;

/// Memory that a graph's node allocates (graph_memory.cpp).
class GraphMemory {
 public:
  /// Address 0 when there is not enough memory.
  GraphMemory(size_t bytes, int device);
  ~GraphMemory();
  GraphMemory(const GraphMemory&) = delete;
  GraphMemory& operator=(const GraphMemory&) = delete;
  /// Null for addresses of other memory.
  static GraphMemory* at(const void* pointer);
  /// Of all graphs and devices.
  static u64 allocated_bytes();
  /// What the node does, and whoever frees it.
  cudaError_t allocate();
  cudaError_t release();

  const u64 address;
  const size_t size;

 private:
  bool allocated_ = false;
};

struct GraphNode {
  cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
  std::function<cudaError_t()> work;
  std::vector<GraphNode*> after;  // predecessors
  NodeParameters parameters;
  std::vector<void*> arguments;  // into the launch's parameters, for who asked
  Graph* graph = nullptr;
  GraphNode* original = nullptr;                       // of a clone's node
  std::map<int, cudaLaunchAttributeValue> attributes;  // of a kernel
  bool enabled = true;
  /// The launch of a kernel's node; null for others.
  LaunchRequest* launch() { return std::get_if<LaunchRequest>(&parameters); }
};

struct Graph {
  std::vector<std::unique_ptr<GraphNode>> nodes;
  u64 id = 0;
  bool invalidated = false;                 // its capture was, by a call that it cannot hold
  std::vector<std::shared_ptr<void>> kept;  // its memory, and the program's objects that it refers to
  /// Null when there is not enough memory.
  GraphMemory* allocate(size_t bytes, int device);
  GraphNode* add(cudaGraphNodeType type, std::function<cudaError_t()> work, std::vector<GraphNode*> after);
  std::unique_ptr<Graph> clone() const;
  /// Nodes so that predecessors come first, otherwise in the order in which they were added, or at random
  /// where the schedule is; empty when there is a cycle.
  std::vector<GraphNode*> order() const;
  /// The clone's node that was made from `node`; null when there is none.
  GraphNode* twin(const GraphNode* node) const;
  cudaError_t run() const;
};

/// An instantiated graph.
struct GraphExec {
  std::unique_ptr<Graph> graph;
  std::vector<GraphNode*> order;
  u64 flags = 0;
};

struct Event {
  unsigned flags = 0;
  double seconds = 0;
  bool recorded = false;
  Graph* capture = nullptr;
  std::vector<GraphNode*> frontier;
};

/// Whether the program has made a stream, or an event, and not destroyed it.
bool is_stream(cudaStream_t stream);
bool is_event(cudaEvent_t event);
Stream& stream_of(cudaStream_t stream);
/// The graph that a stream captures into; null when it does not, or is not a stream.
Graph* capturing(cudaStream_t stream);

inline Graph* graph_of(cudaGraph_t graph) { return reinterpret_cast<Graph*>(graph); }
inline GraphNode* node_of(cudaGraphNode_t node) { return reinterpret_cast<GraphNode*>(node); }

/// Give a node its work, from checked parameters (graph.cpp).
cudaError_t set_kernel(GraphNode& node, const cudaKernelNodeParams& params);
cudaError_t set_copy(GraphNode& node, const cudaMemcpy3DParms& params);
cudaError_t set_memset(GraphNode& node, const cudaMemsetParams& params);
void set_host(GraphNode& node, const cudaHostNodeParams& params);
void set_event(GraphNode& node, cudaEvent_t event);
void set_child(GraphNode& node, std::shared_ptr<Graph> child);

/// Adds a node; `set` gives it its work, and when that fails there is no node.
template <class Set>
cudaError_t add_node(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* after, size_t count,
                     cudaGraphNodeType type, const Set& set) {
  if (node == nullptr || graph == nullptr || (count != 0 && after == nullptr))
    return note(cudaErrorInvalidValue);
  std::vector<GraphNode*> before;
  for (size_t i = 0; i < count; ++i) before.push_back(node_of(after[i]));
  GraphNode* made = graph_of(graph)->add(
      type, [] { return cudaSuccess; }, std::move(before));
  const cudaError_t error = set(*made);
  if (error != cudaSuccess) {
    graph_of(graph)->nodes.pop_back();
    return note(error);
  }
  *node = reinterpret_cast<cudaGraphNode_t>(made);
  return cudaSuccess;
}

/// What the program gave a node, if it is of that kind.
template <class Parameters>
cudaError_t node_parameters(cudaGraphNode_t node, Parameters* params) {
  const auto* kept = std::get_if<Parameters>(&node_of(node)->parameters);
  if (kept == nullptr) return note(cudaErrorInvalidValue);
  *params = *kept;
  return cudaSuccess;
}

}  // namespace emu
