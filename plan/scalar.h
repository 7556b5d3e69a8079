#ifndef LOGLOG_PLAN_SCALAR_H_
#define LOGLOG_PLAN_SCALAR_H_

#include <optional>
#include <string>

#include "plan/decimal.h"
#include "plan/fields.h"
#include "plan/spec_tree.h"
#include "plan/value.h"

namespace loglog {

// The value of a field as written in a spec. Nothing when it was refused, with the error
// in `sink`. null reads as unset. `field_path` is where the value stands ("train.lr",
// "axes.D.values[1]"), `field` what it will set.
std::optional<SpecValue> ReadScalar(const SpecField& field, const SpecNode& node,
                                    const std::string& field_path, SpecErrorSink* sink);

// A number as exact decimal, by the rules of the field's type, its range unchecked: what
// range and logrange are made from.
std::optional<Decimal> ReadDecimal(const SpecField& field, const SpecNode& node,
                                   const std::string& field_path, SpecErrorSink* sink);

// `value` as the field holds it: an integer for counts, a double for numbers. Nothing
// when it is out of the field's range or not whole, with an error at `place`.
std::optional<SpecValue> FieldValueOf(const SpecField& field, const Decimal& value,
                                      const std::string& written, const SpecPlace& place,
                                      const std::string& field_path, SpecErrorSink* sink);

}  // namespace loglog

#endif  // LOGLOG_PLAN_SCALAR_H_
