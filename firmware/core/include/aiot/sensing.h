/*
 * Converts a window of ADC counts to one value in the sensor's unit. The sensors are those of the guide; the defects of its
 * firmware are fixed. Pure functions.
 */
#ifndef AIOT_SENSING_H
#define AIOT_SENSING_H

#include <stddef.h>
#include <stdint.h>

/* Statistics of one channel over a window. */
typedef struct {
  double mean;
  /* RMS of the signal including its mean, and RMS of the AC part only. */
  double rms;
  double ac_rms;
  double low;
  double high;
} aiot_summary;

/*
 * Summarizes channel `axis` of `values`, which contains interleaved samples of `axes` channels, as returned by aiot_window_copy.
 * samples >= 1.
 */
aiot_summary aiot_summary_of(const float *values, size_t samples, size_t axes, size_t axis);
/* Like aiot_summary_of, but for ADC counts, which need half as much memory. */
aiot_summary aiot_summary_of_counts(const uint16_t *counts, size_t samples, size_t axes, size_t axis);

typedef enum { AIOT_MEAN, AIOT_RMS, AIOT_AC_RMS, AIOT_PEAK_TO_PEAK } aiot_quantity;

/* A sensor on an ADC: value = scale * (volts of the quantity) + offset. */
typedef struct {
  aiot_quantity quantity;
  double volts_per_count;
  double scale;
  double offset;
} aiot_channel;

/* The ADC's resolution in bits, and the voltage of its maximum count. */
typedef struct {
  unsigned bits;
  double reference_volts;
} aiot_converter;

double aiot_volts_per_count(aiot_converter converter);

/* A TMP36 thermometer. Its value is the mean temperature, degrees Celsius. */
aiot_channel aiot_tmp36(aiot_converter converter);
/* An SCT013 current transformer. Its value is the RMS current without the bias voltage, A. */
aiot_channel aiot_sct013(aiot_converter converter, double turns, double burden_ohms);
/* A MAX4465 microphone. Its value is the loudness: peak to peak over at least a few tens of milliseconds, V. */
aiot_channel aiot_max4465(aiot_converter converter);
/* A piezo element. Its value is the RMS vibration without the bias voltage, V. */
aiot_channel aiot_piezo(aiot_converter converter);

/* The value of a channel for a window of counts. */
double aiot_channel_value(const aiot_channel *channel, const aiot_summary *counts);

/* Degrees Celsius from a TMP36's output: 10 mV per degree, 500 mV at 0; from -40 (0.1 V) to 125 (1.75 V). */
double aiot_tmp36_celsius(double volts);

/* Amperes per volt across the burden resistor of a current transformer. */
double aiot_current_calibration(double turns, double burden_ohms);
/*
 * The largest burden resistor, in ohms, for which the peaks at `amperes` RMS stay between 0 and `swing_volts`, if they are
 * centered in that range.
 */
double aiot_burden_ohms(double amperes, double turns, double swing_volts);
/* Power in the burden resistor at `amperes` RMS, W. */
double aiot_burden_watts(double amperes, double turns, double burden_ohms);
/* Corner frequency, Hz, of the high-pass that the two bias resistors in parallel and their capacitor form. */
double aiot_bias_corner_hz(double upper_ohms, double lower_ohms, double farads);

#endif
