/* What libcuclip_mpi.so offers: MPI behind C functions, so that only that library needs MPI to be compiled and
 * loaded (core/mpi_communicator.h opens it). */
#ifndef CUCLIP_CORE_MPI_PLUGIN_H
#define CUCLIP_CORE_MPI_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised with every change of what follows. */
#define CUCLIP_MPI_INTERFACE 1

typedef struct {
  int rank;
  void* data;
  uint64_t bytes;
} CuclipMpiMessage;

typedef struct CuclipMpiExchange CuclipMpiExchange;

/* For a message of a function that failed. */
typedef struct {
  char text[512];
} CuclipMpiError;

/* Functions that return int return 0 when they have succeeded, and otherwise have written why. Calls come from
 * one thread at a time. */
typedef struct {
  int interface_version; /* CUCLIP_MPI_INTERFACE; stays the first member */
  /* The library's name and version, whether it was begun or not. */
  void (*library)(char* text, size_t size);
  /* MPI_Init_thread, unless the program has done that. Messages are carried in pieces of at most piece_bytes,
   * which is the same on every rank and at most 2^31 - 1. */
  int (*begin)(uint64_t piece_bytes, int* rank, int* size, CuclipMpiError* error);
  /* MPI_Isend and MPI_Irecv; `under_way` is to be given to wait once. */
  int (*exchange)(const CuclipMpiMessage* sends, size_t send_count, const CuclipMpiMessage* receives,
                  size_t receive_count, CuclipMpiExchange** under_way, CuclipMpiError* error);
  /* Fails where a message has another size than what it is received into, too. */
  int (*wait)(CuclipMpiExchange* under_way, CuclipMpiError* error);
  /* MPI_Finalize, if begin did MPI_Init_thread. */
  int (*finish)(CuclipMpiError* error);
} CuclipMpi;

/* The library's only symbol, looked up by name. */
const CuclipMpi* cuclip_mpi(void);

#ifdef __cplusplus
}
#endif

#endif
