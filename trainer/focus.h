// What a model of one attention layer does as it goes through focus and dilution (arXiv
// 2605.01199), read from its weights.
#ifndef LOGLOG_TRAINER_FOCUS_H_
#define LOGLOG_TRAINER_FOCUS_H_

#include <vector>

#include "trainer/config.h"
#include "trainer/engine.h"
#include "trainer/layout.h"

namespace loglog {

// With W_0 the embedding [V, d], W_1 the output head [V, d], s_1 >= s_2 >= ... singular values, and
// Phi = W_0 W_Q^T W_K W_0^T [V, V], summed over the heads, without positions or the scale of
// attention: Phi_ij is how much token i asks for token j.
//   focus/embed_alignment, focus/head_alignment  s_1 / |W|_F: 1 for rank one
//   focus/embed_second, focus/head_second        s_2 / s_1: a second direction, 0 for rank one
//   focus/phi_norm, focus/phi_alignment          |Phi|_F, and s_1 / |Phi|_F
//   focus/phi_frequent           the mean over i of Phi_if less that of Phi_ij over j != f, f the
//                                most frequent token: above 0, logits favour it
//   focus/embed_norm/<token>     |W_0 row|, of at most kMostFocusTokens ids
// The head's are left out where it is tied. For models without rotary positions, where Phi alone
// decides; with them it is the part between a token and itself. `weights` is one member's row in
// host memory; frequencies are one for each token id. What divides by 0 is 0.
void AppendFocus(const ModelConfig& model, const Layout& layout, const float* weights,
                 const std::vector<double>& frequencies, std::vector<NamedValue>* values);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_FOCUS_H_
