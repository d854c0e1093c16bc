/* 4th-order Butterworth low-pass in two sections, as in src/lib/signal/lowpass.ts. */
#ifndef AIOT_SIGNAL_LOWPASS_H
#define AIOT_SIGNAL_LOWPASS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  double b0, b1, b2, a1, a2;
} aiot_section;

/* Coefficients, shared by all fields. */
typedef struct {
  aiot_section section[2];
} aiot_lowpass;

/* Filter state of one field. */
typedef struct {
  double state[4];
  bool started;
} aiot_lowpass_state;

/* Computes the coefficients; `corner_hz` must be below half of `rate_hz`. */
void aiot_lowpass_init(aiot_lowpass *filter, double corner_hz, double rate_hz);

/*
 * Filters one sample. The first sample initializes the state as if the signal had always had its value, so that no ramp appears.
 */
double aiot_lowpass_step(const aiot_lowpass *filter, aiot_lowpass_state *state, double x);

#endif
