// See gloo/algorithm.h.
#ifndef LOGLOG_TRAINER_GLOO_DECLARATIONS_GLOO_TRANSPORT_DEVICE_H_
#define LOGLOG_TRAINER_GLOO_DECLARATIONS_GLOO_TRANSPORT_DEVICE_H_

namespace gloo::transport {
class Device;
class UnboundBuffer {
 public:
  virtual ~UnboundBuffer();
};
}  // namespace gloo::transport

#endif  // LOGLOG_TRAINER_GLOO_DECLARATIONS_GLOO_TRANSPORT_DEVICE_H_
