/* Cosine and sine of numerator/denominator of a whole turn, as in src/lib/signal/turn.ts. Bit-exact on every machine. */
#ifndef AIOT_SIGNAL_TURN_H
#define AIOT_SIGNAL_TURN_H

typedef struct {
  double cos;
  double sin;
} aiot_turned;

/* numerator >= 0, denominator > 0, and the number of eighths in the turn at most 2^31. */
aiot_turned aiot_turn(double numerator, double denominator);

#endif
