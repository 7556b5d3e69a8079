#include "fit/sequential.h"

namespace loglog {

double LookConfidence(double confidence) { return 1 - (1 - confidence) / kLooks; }

int TrialsOfLook(int look, int trials) { return (look * trials + kLooks - 1) / kLooks; }

}  // namespace loglog
