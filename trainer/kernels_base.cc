#define LOGLOG_KERNELS kKernels_base
#include "trainer/kernels_impl.h"
