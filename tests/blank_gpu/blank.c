/* Functions of CUDA that have to answer something; `libraries.py` makes all others, which answer 0.

   Memory of this GPU is the machine's own, which may be addressed as onnxruntime expects. Nothing
   that is launched on it runs, and zeros come back. What is copied is told to the file that
   BLANK_GPU_LOG names, one line each. Structures are those of CUDA 13. */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int status;
typedef void *handle;

static status made(handle *it) { *it = calloc(1, 64); return 0; }

static status is(int *it, int value) { *it = value; return 0; }

static void told(const char *what, size_t bytes) {
  const char *path = getenv("BLANK_GPU_LOG");
  if (path == NULL) return;
  char line[64];
  int length = snprintf(line, sizeof line, "%s %zu\n", what, bytes);
  int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (write(file, line, length) != length) abort();
  close(file);
}

#ifdef LIBCUDART

static const char *const WAY[] = {"host", "in", "out", "inside", "default"};
enum { OUT = 2 };
static const char NAME[] = "NVIDIA Blank";

status cudaGetDeviceCount(int *count) { return is(count, 1); }
status cudaGetDevice(int *number) { return is(number, 0); }
status cudaDriverGetVersion(int *version) { return is(version, 13000); }
status cudaRuntimeGetVersion(int *version) { return is(version, 13000); }

/* cudaDeviceProp, 1008 bytes: offsets of what onnxruntime reads */
status cudaGetDeviceProperties(char *all, int number) {
  memset(all, 0, 1008);
  memcpy(all, NAME, sizeof NAME);
  *(size_t *)(all + 288) = (size_t)80 << 30; /* totalGlobalMem */
  *(size_t *)(all + 296) = 49152;            /* sharedMemPerBlock */
  *(int *)(all + 308) = 32;                  /* warpSize */
  *(int *)(all + 320) = 1024;                /* maxThreadsPerBlock */
  *(int *)(all + 336) = 0x7fffffff;          /* maxGridSize */
  *(int *)(all + 360) = 9;                   /* major */
  *(int *)(all + 384) = 132;                 /* multiProcessorCount */
  *(int *)(all + 604) = 2048;                /* maxThreadsPerMultiProcessor */
  return 0;
}

status cudaDeviceGetAttribute(int *value, int which, int number) {
  return is(value, which == 75 ? 9 : which == 76 ? 0 : 1024); /* compute capability 9.0 */
}

status cudaMemGetInfo(size_t *unused, size_t *total) {
  *unused = *total = (size_t)80 << 30;
  return 0;
}

status cudaMalloc(handle *it, size_t bytes) { *it = calloc(1, bytes); return *it == NULL; }
status cudaMallocHost(handle *it, size_t bytes) { return cudaMalloc(it, bytes); }
status cudaHostAlloc(handle *it, size_t bytes, unsigned flags) { return cudaMalloc(it, bytes); }
status cudaFree(handle it) { free(it); return 0; }
status cudaFreeHost(handle it) { free(it); return 0; }

status cudaMemcpy(void *to, const void *from, size_t bytes, int way) {
  told(WAY[way], bytes);
  if (way == OUT) memset(to, 0, bytes);
  else memmove(to, from, bytes);
  return 0;
}

status cudaMemcpyAsync(void *to, const void *from, size_t bytes, int way, handle stream) {
  return cudaMemcpy(to, from, bytes, way);
}

status cudaMemset(void *to, int value, size_t bytes) { memset(to, value, bytes); return 0; }

status cudaMemsetAsync(void *to, int value, size_t bytes, handle stream) {
  return cudaMemset(to, value, bytes);
}

status cudaStreamCreate(handle *it) { return made(it); }
status cudaStreamCreateWithFlags(handle *it, unsigned flags) { return made(it); }
status cudaStreamIsCapturing(handle stream, int *capturing) { return is(capturing, 0); }
status cudaEventCreate(handle *it) { return made(it); }
status cudaEventCreateWithFlags(handle *it, unsigned flags) { return made(it); }
const char *cudaGetErrorName(status code) { return "an error"; }
const char *cudaGetErrorString(status code) { return "an error"; }

#endif
#ifdef LIBCUBLAS

status cublasCreate_v2(handle *it) { return made(it); }

#endif
#ifdef LIBCUBLASLT

status cublasLtCreate(handle *it) { return made(it); }

#endif
#ifdef LIBCUDNN

size_t cudnnGetVersion(void) { return 91300; }
status cudnnCreate(handle *it) { return made(it); }
status cudnnBackendCreateDescriptor(int kind, handle *it) { return made(it); }

/* One of whatever is asked for: one engine that needs no workspace. 15 stands for descriptors, which
   whoever asks has made; 3, 4 and 6 for what takes 8 bytes. */
status cudnnBackendGetAttribute(handle of, int name, int kind, int64_t room, int64_t *count, void *to) {
  if (count != NULL) *count = 1;
  if (to != NULL && room > 0 && kind != 15) memset(to, 0, kind == 3 || kind == 4 || kind == 6 ? 8 : 4);
  return 0;
}

#endif
#ifdef LIBCUDA

static const handle CONTEXT = (handle)0x7f0123456789; /* does not survive 32 bits */
static int current;

status cuDriverGetVersion(int *version) { return is(version, 13000); }
status cuDeviceGetCount(int *count) { return is(count, 1); }
status cuDeviceGet(int *device, int number) { return is(device, number); }

status cuDeviceGetName(char *name, int room, int device) {
  snprintf(name, room, "NVIDIA Blank");
  return 0;
}

status cuDeviceGetAttribute(int *value, int which, int device) {
  return is(value, which == 75 ? 9 : 0);
}

status cuDevicePrimaryCtxRetain(handle *context, int device) { *context = CONTEXT; return 0; }

status cuCtxPushCurrent_v2(handle context) {
  if (context != CONTEXT) return 201;
  current++;
  return 0;
}

status cuCtxPopCurrent_v2(handle *context) { *context = CONTEXT; current--; return 0; }

status cuMemHostRegister_v2(void *from, size_t bytes, unsigned flags) {
  if (current == 0) return 201;
  /* The whole range has to be there. */
  volatile char first = *(char *)from, last = ((char *)from)[bytes - 1];
  (void)first, (void)last;
  told("pinned", bytes);
  return 0;
}

status cuGetErrorString(status code, const char **words) { *words = "an error"; return 0; }

#endif
