/*
 * From the counts of an analogue-to-digital converter to what a window of them says in the unit of its sensor: the guide's sensors, with
 * the defects of its firmware mended. Pure functions.
 */
#ifndef AIOT_SENSING_H
#define AIOT_SENSING_H

#include <stddef.h>
#include <stdint.h>

/* Of one channel over a window. */
typedef struct {
  double mean;
  /* With the mean, and without it: what alternates. */
  double rms;
  double ac_rms;
  double low;
  double high;
} aiot_summary;

/* `values`: samples of `axes` channels in turn, as aiot_window_copy gives them; the channel at `axis`. samples >= 1. */
aiot_summary aiot_summary_of(const float *values, size_t samples, size_t axes, size_t axis);
/* The same of a converter's counts, which take half the memory. */
aiot_summary aiot_summary_of_counts(const uint16_t *counts, size_t samples, size_t axes, size_t axis);

typedef enum { AIOT_MEAN, AIOT_RMS, AIOT_AC_RMS, AIOT_PEAK_TO_PEAK } aiot_quantity;

/* A sensor at a converter: value = scale * (volts of the quantity) + offset. */
typedef struct {
  aiot_quantity quantity;
  double volts_per_count;
  double scale;
  double offset;
} aiot_channel;

/* The converter's bits and the voltage of its highest count. */
typedef struct {
  unsigned bits;
  double reference_volts;
} aiot_converter;

double aiot_volts_per_count(aiot_converter converter);

/* Mean temperature, degrees Celsius. */
aiot_channel aiot_tmp36(aiot_converter converter);
/* RMS current, A. The mid voltage that it swings about is not a part of it. */
aiot_channel aiot_sct013(aiot_converter converter, double turns, double burden_ohms);
/* Loudness: peak to peak, V, over some tens of milliseconds at least. */
aiot_channel aiot_max4465(aiot_converter converter);
/* RMS vibration, V, without the mid voltage. */
aiot_channel aiot_piezo(aiot_converter converter);

/* What a window of counts says. */
double aiot_channel_value(const aiot_channel *channel, const aiot_summary *counts);

/* Degrees Celsius of a TMP36's output: 10 mV each, 500 mV at 0; from -40 (0.1 V) to 125 (1.75 V). */
double aiot_tmp36_celsius(double volts);

/* A per V across the burden of a current transformer. */
double aiot_current_calibration(double turns, double burden_ohms);
/* The greatest burden, ohms, whose peaks at `amperes` RMS still fit the swing from 0 to `swing_volts` about its middle. */
double aiot_burden_ohms(double amperes, double turns, double swing_volts);
/* W in the burden at `amperes` RMS. */
double aiot_burden_watts(double amperes, double turns, double burden_ohms);
/* Hz below which the two bias resistors in parallel and their capacitor let pass. */
double aiot_bias_corner_hz(double upper_ohms, double lower_ohms, double farads);

#endif
