#define LOGLOG_KERNELS kKernels_avx512
#include "trainer/kernels_impl.h"
