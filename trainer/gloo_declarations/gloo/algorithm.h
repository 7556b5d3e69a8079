// LibTorch ships Gloo's code and not its headers; c10d's own header includes five of them. What
// it names of Gloo is declared in this folder, and we never construct, derive from or call any of
// it: our objects hold no Gloo vtable, and only LibTorch's own code sees Gloo's types.
#ifndef LOGLOG_TRAINER_GLOO_DECLARATIONS_GLOO_ALGORITHM_H_
#define LOGLOG_TRAINER_GLOO_DECLARATIONS_GLOO_ALGORITHM_H_
#endif  // LOGLOG_TRAINER_GLOO_DECLARATIONS_GLOO_ALGORITHM_H_
