// Steps whose numbers are still under way from a device to the host.
#ifndef LOGLOG_TRAINER_STEP_RING_H_
#define LOGLOG_TRAINER_STEP_RING_H_

#include <cstddef>
#include <functional>
#include <optional>

namespace loglog {

// Says when a device has done what was put on it.
class DeviceClock {
 public:
  virtual ~DeviceClock() = default;
  // The work that was put on the device until now, under the name of a slot.
  virtual void Mark(size_t slot) = 0;
  // Whether the device has done what the slot's last mark stands for.
  virtual bool Reached(size_t slot) = 0;
  virtual void Wait(size_t slot) = 0;
};

// Runs the same work again and again, as it is or, where a device can, from a recording of it: the
// work's addresses must not change.
class Repeater {
 public:
  virtual ~Repeater() = default;
  virtual void Run(const std::function<void()>& work) = 0;
};

// Hands out slots of memory that both sides copy from and to, in turn. Thread-compatible. A slot
// is the device's from Begin until Take names it, which it does only after the clock; the host
// then reads it before the next Begin.
class StepRing {
 public:
  // `clock`, not owned, marks slots 0 .. slots - 1.
  StepRing(size_t slots, DeviceClock& clock) : slots_(slots), clock_(clock) {}

  bool full() const { return ended_ - taken_ == slots_; }
  bool empty() const { return ended_ == taken_; }

  // The slot of the next step. Throws std::logic_error when all are under way.
  size_t Begin() const;
  // All that the step does to its slot has been put on the device.
  void End();
  // The slot of the oldest step under way, once the device is done with it; nothing when it is not
  // and `wait` is false, or when no step is under way.
  std::optional<size_t> Take(bool wait);

 private:
  size_t slots_;
  DeviceClock& clock_;
  size_t ended_ = 0, taken_ = 0;  // steps so far
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_STEP_RING_H_
