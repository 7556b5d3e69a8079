#ifndef LOGLOG_PLAN_FIELD_TABLE_H_
#define LOGLOG_PLAN_FIELD_TABLE_H_

#include <vector>

#include "plan/fields.h"

namespace loglog {

// The tables themselves; use SpecFields and SpecSections.
std::vector<SpecField> FieldTable();
std::vector<SpecSection> SectionTable();

}  // namespace loglog

#endif  // LOGLOG_PLAN_FIELD_TABLE_H_
