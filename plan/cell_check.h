#ifndef LOGLOG_PLAN_CELL_CHECK_H_
#define LOGLOG_PLAN_CELL_CHECK_H_

#include <string>
#include <vector>

#include "plan/cell_config.h"

namespace loglog {

// Why the trainer would refuse a cell.
struct CellFault {
  std::string path;  // the field to change
  std::string message;
  std::string suggestion;
};

// Rules that join several fields; each field's own range was checked when it was read.
// The trainer checks the same and ends with exit code 20.
std::vector<CellFault> CheckCell(const CellConfig& config);

}  // namespace loglog

#endif  // LOGLOG_PLAN_CELL_CHECK_H_
