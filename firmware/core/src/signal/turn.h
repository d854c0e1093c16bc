/* Cosine and sine of numerator/denominator of a whole turn: src/lib/signal/turn.ts, bit-exact on every machine. */
#ifndef AIOT_SIGNAL_TURN_H
#define AIOT_SIGNAL_TURN_H

typedef struct {
  double cos;
  double sin;
} aiot_turned;

/* numerator from 0 up, denominator above 0, and the number of eighths in the turn at most 2^31. */
aiot_turned aiot_turn(double numerator, double denominator);

#endif
