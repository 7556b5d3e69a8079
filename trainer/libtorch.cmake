# The target loglog_libtorch: LibTorch by full path. Its own package file is not used:
# it demands a CUDA tool kit, adds global flags and pulls in every header directory.
option(LOGLOG_CUDA "Link the CUDA part of LibTorch" OFF)
set(LOGLOG_LIBTORCH "$ENV{LOGLOG_LIBTORCH}" CACHE PATH "LibTorch: a directory with include/ and lib/")

if(NOT LOGLOG_LIBTORCH)
  if(DEFINED ENV{LOGLOG_CACHE})
    set(cache $ENV{LOGLOG_CACHE})
  else()
    set(cache $ENV{HOME}/.cache/loglog)
  endif()
  if(LOGLOG_CUDA)
    set(part cuda)
  else()
    set(part cpu)
  endif()
  file(GLOB found ${cache}/libtorch-2.11.0-${part}/lib/python3*/site-packages/torch)
  list(SORT found COMPARE NATURAL ORDER DESCENDING)
  if(found)
    list(GET found 0 LOGLOG_LIBTORCH)
  endif()
endif()
if(NOT EXISTS ${LOGLOG_LIBTORCH}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "No LibTorch in '${LOGLOG_LIBTORCH}' (looked for lib/libtorch_cpu.so). "
    "Run deploy/setup.sh (with --cuda for LOGLOG_CUDA=ON), or name one with -DLOGLOG_LIBTORCH=DIR or the environment variable "
    "LOGLOG_LIBTORCH.")
endif()
message(STATUS "LibTorch: ${LOGLOG_LIBTORCH}")

function(loglog_import name path)
  if(NOT EXISTS ${path})
    message(FATAL_ERROR "${path} is missing: this LibTorch lacks its CUDA part. "
      "Run deploy/setup.sh --cuda, or set LOGLOG_CUDA=OFF.")
  endif()
  add_library(${name} SHARED IMPORTED GLOBAL)
  set_target_properties(${name} PROPERTIES IMPORTED_LOCATION ${path})
endfunction()

add_library(loglog_libtorch INTERFACE)
target_include_directories(loglog_libtorch SYSTEM INTERFACE ${LOGLOG_LIBTORCH}/include)
loglog_import(loglog_c10 ${LOGLOG_LIBTORCH}/lib/libc10.so)
loglog_import(loglog_torch_cpu ${LOGLOG_LIBTORCH}/lib/libtorch_cpu.so)
target_link_libraries(loglog_libtorch INTERFACE loglog_torch_cpu loglog_c10)
# libtorch_cpu.so finds the wheel's other libraries by its own run path, which not every
# linker follows when it looks for undefined symbols.
target_link_options(loglog_libtorch INTERFACE LINKER:--allow-shlib-undefined)

if(LOGLOG_CUDA)
  get_filename_component(site ${LOGLOG_LIBTORCH} DIRECTORY)
  loglog_import(loglog_c10_cuda ${LOGLOG_LIBTORCH}/lib/libc10_cuda.so)
  loglog_import(loglog_torch_cuda ${LOGLOG_LIBTORCH}/lib/libtorch_cuda.so)
  loglog_import(loglog_cudart ${site}/nvidia/cu13/lib/libcudart.so.13)
  find_program(LOGLOG_NVCC nvcc HINTS ${site}/nvidia/cu13/bin /usr/local/cuda/bin)
  if(NOT LOGLOG_NVCC)
    message(FATAL_ERROR "nvcc is missing in ${site}/nvidia/cu13/bin, /usr/local/cuda/bin and PATH. "
      "Run deploy/setup.sh --cuda, install CUDA 13's nvcc, or set LOGLOG_CUDA=OFF.")
  endif()
  loglog_import(loglog_nccl ${site}/nvidia/nccl/lib/libnccl.so.2)
  target_include_directories(loglog_libtorch SYSTEM INTERFACE ${site}/nvidia/cu13/include
                             ${site}/nvidia/nccl/include)
  # CUDA kernels register themselves in static initializers: nothing refers to the library.
  target_link_options(loglog_libtorch INTERFACE LINKER:--no-as-needed)
  target_link_libraries(loglog_libtorch INTERFACE loglog_torch_cuda loglog_c10_cuda loglog_cudart loglog_nccl)
  target_compile_definitions(loglog_libtorch INTERFACE LOGLOG_CUDA=1)
endif()
