#include "lowpass.h"

#include "turn.h"

void aiot_lowpass_init(aiot_lowpass *filter, double corner_hz, double rate_hz) {
  const aiot_turned half = aiot_turn(corner_hz, 2 * rate_hz);
  const double k = half.sin / half.cos;
  /* Quality factors of the two pole pairs: 1 / (2 cos(pi/8)) and 1 / (2 cos(3 pi/8)). */
  const double qualities[2] = {1 / (2 * aiot_turn(1, 16).cos), 1 / (2 * aiot_turn(3, 16).cos)};
  for (size_t s = 0; s < 2; s++) {
    const double q = qualities[s];
    const double norm = 1 / (1 + k / q + k * k);
    const double b0 = k * k * norm;
    filter->section[s] =
        (aiot_section){.b0 = b0, .b1 = 2 * b0, .b2 = b0, .a1 = 2 * (k * k - 1) * norm, .a2 = (1 - k / q + k * k) * norm};
  }
}

double aiot_lowpass_step(const aiot_lowpass *filter, aiot_lowpass_state *at, double x) {
  double *state = at->state;
  if (!at->started) {
    at->started = true;
    /* State after an infinitely long constant input x. The output of each section is then also x (gain 1 at 0 Hz). */
    for (size_t s = 0; s < 2; s++) {
      const aiot_section *c = &filter->section[s];
      state[2 * s + 1] = (c->b2 - c->a2) * x;
      state[2 * s] = (c->b1 - c->a1) * x + state[2 * s + 1];
    }
  }
  double y = x;
  for (size_t s = 0; s < 2; s++) {
    const aiot_section *c = &filter->section[s];
    const double input = y;
    y = c->b0 * input + state[2 * s];
    state[2 * s] = c->b1 * input - c->a1 * y + state[2 * s + 1];
    state[2 * s + 1] = c->b2 * input - c->a2 * y;
  }
  return y;
}
