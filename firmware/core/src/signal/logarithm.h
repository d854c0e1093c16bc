/* Logarithm and exponential function, as in src/lib/signal/logarithm.ts, bit-exact on every machine. */
#ifndef AIOT_SIGNAL_LOGARITHM_H
#define AIOT_SIGNAL_LOGARITHM_H

#define AIOT_LN2 0.69314718055994530942

/* Natural logarithm of a positive number that is not denormal. */
double aiot_log(double x);

/* x from 0 to 700. */
double aiot_exp(double x);

#endif
