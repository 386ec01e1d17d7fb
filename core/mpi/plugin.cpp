// A message of n bytes travels as n / piece whole pieces and one of what is left, which may be nothing. So a
// message tells its size, and whichever two sizes differ, the first piece that differs is noticed: it is
// shorter than expected, or longer, which MPI reports as truncated.
#include "core/mpi/plugin.h"

#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

struct CuclipMpiExchange {
  struct Piece {
    int rank;
    uint64_t before, bytes, whole;  // of the message
  };
  std::vector<MPI_Request> requests;  // the receives' first
  std::vector<Piece> receives;
};

namespace {

constexpr int kTag = 0;

struct State {
  MPI_Comm ranks = MPI_COMM_NULL;
  uint64_t piece_bytes = 0;
  bool began = false;
};
State& state() {
  static State s;
  return s;
}

template <typename... Args>
int failed(CuclipMpiError* error, const char* format, Args... args) {
  std::snprintf(error->text, sizeof error->text, format, args...);
  return 1;
}

int check(int code, const char* call, CuclipMpiError* error) {
  if (code == MPI_SUCCESS) return 0;
  char text[MPI_MAX_ERROR_STRING] = "unknown error";
  int length = 0;
  MPI_Error_string(code, text, &length);
  return failed(error, "%s: %.400s", call, text);
}

void library(char* text, size_t size) {
  char whole[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(whole, &length);
  std::snprintf(text, size, "%s", whole);
}

int begin(uint64_t piece_bytes, int* rank, int* size, CuclipMpiError* error) {
  int is_begun = 0, offered = MPI_THREAD_SERIALIZED;
  MPI_Initialized(&is_begun);
  if (is_begun) {
    if (check(MPI_Query_thread(&offered), "MPI_Query_thread", error)) return 1;
  } else {
    if (check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &offered), "MPI_Init_thread", error))
      return 1;
    state().began = true;
  }
  if (offered < MPI_THREAD_SERIALIZED) {
    return failed(error, "%s: this MPI library offers no MPI_THREAD_SERIALIZED", "MPI_Init_thread");
  }
  state().piece_bytes = piece_bytes;
  MPI_Comm& ranks = state().ranks;
  return check(MPI_Comm_dup(MPI_COMM_WORLD, &ranks), "MPI_Comm_dup", error) ||
         check(MPI_Comm_set_errhandler(ranks, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", error) ||
         check(MPI_Comm_rank(ranks, rank), "MPI_Comm_rank", error) ||
         check(MPI_Comm_size(ranks, size), "MPI_Comm_size", error);
}

/// Calls piece(data, before, bytes) for each piece of a message until one fails.
template <typename F>
int for_each_piece(const CuclipMpiMessage& message, const F& piece) {
  const uint64_t most = state().piece_bytes;
  for (uint64_t before = 0; before <= message.bytes; before += most) {
    const uint64_t bytes = std::min(most, message.bytes - before);
    if (piece(static_cast<char*>(message.data) + before, before, bytes)) return 1;
  }
  return 0;
}

int start(const CuclipMpiMessage* sends, size_t send_count, const CuclipMpiMessage* receives,
          size_t receive_count, CuclipMpiExchange** under_way, CuclipMpiError* error) {
  auto exchange = std::make_unique<CuclipMpiExchange>();
  for (const auto* message = receives; message != receives + receive_count; ++message) {
    const auto receive = [&](char* data, uint64_t before, uint64_t bytes) {
      MPI_Request request = MPI_REQUEST_NULL;
      const int code =
          MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, message->rank, kTag, state().ranks, &request);
      exchange->requests.push_back(request);
      exchange->receives.push_back({message->rank, before, bytes, message->bytes});
      return check(code, "MPI_Irecv", error);
    };
    if (for_each_piece(*message, receive)) return 1;
  }
  for (const auto* message = sends; message != sends + send_count; ++message) {
    const auto send = [&](const char* data, uint64_t, uint64_t bytes) {
      MPI_Request request = MPI_REQUEST_NULL;
      const int code =
          MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, message->rank, kTag, state().ranks, &request);
      exchange->requests.push_back(request);
      return check(code, "MPI_Isend", error);
    };
    if (for_each_piece(*message, send)) return 1;
  }
  *under_way = exchange.release();
  return 0;
}

int check_piece(const CuclipMpiExchange::Piece& piece, MPI_Status& status, int code, CuclipMpiError* error) {
  int error_class = MPI_SUCCESS, count = 0;
  if (code != MPI_SUCCESS) MPI_Error_class(code, &error_class);
  if (error_class == MPI_ERR_TRUNCATE) {
    return failed(error, "rank %d sent a message of more than the %llu bytes that are expected of it",
                  piece.rank, static_cast<unsigned long long>(piece.whole));
  }
  if (code != MPI_SUCCESS) return check(code, "MPI_Irecv", error);
  if (check(MPI_Get_count(&status, MPI_BYTE, &count), "MPI_Get_count", error)) return 1;
  if (static_cast<uint64_t>(count) == piece.bytes) return 0;
  return failed(error, "rank %d sent a message of %llu bytes, where %llu are expected of it", piece.rank,
                static_cast<unsigned long long>(piece.before + static_cast<uint64_t>(count)),
                static_cast<unsigned long long>(piece.whole));
}

// Piece by piece: after a message that was too short the pieces that it lacks never come.
int wait(CuclipMpiExchange* under_way, CuclipMpiError* error) {
  const std::unique_ptr<CuclipMpiExchange> exchange(under_way);
  auto& requests = exchange->requests;
  const auto total = static_cast<int>(requests.size());
  std::vector<int> done(requests.size());
  std::vector<MPI_Status> statuses(requests.size());
  for (;;) {
    int count = 0;
    const int code = MPI_Waitsome(total, requests.data(), &count, done.data(), statuses.data());
    if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS) return check(code, "MPI_Waitsome", error);
    if (count == MPI_UNDEFINED) return 0;  // none is left
    for (int i = 0; i < count; ++i) {
      const auto place = static_cast<size_t>(done[static_cast<size_t>(i)]);
      MPI_Status& status = statuses[static_cast<size_t>(i)];
      const int own_code = code == MPI_ERR_IN_STATUS ? status.MPI_ERROR : MPI_SUCCESS;
      if (place >= exchange->receives.size()
              ? check(own_code, "MPI_Isend", error)
              : check_piece(exchange->receives[place], status, own_code, error)) {
        return 1;
      }
    }
  }
}

int finish(CuclipMpiError* error) {
  if (check(MPI_Comm_free(&state().ranks), "MPI_Comm_free", error)) return 1;
  return state().began ? check(MPI_Finalize(), "MPI_Finalize", error) : 0;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const CuclipMpi* cuclip_mpi() {
  static const CuclipMpi table{CUCLIP_MPI_INTERFACE, library, begin, start, wait, finish};
  return &table;
}
