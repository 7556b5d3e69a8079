#define LOGLOG_KERNELS kKernels_avx2
#include "trainer/kernels_impl.h"
