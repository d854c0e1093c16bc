/* ADC 1 with DMA, which samples all of its channels in turn without using the CPU. */
#ifndef AIOT_ESP32_ADC_H
#define AIOT_ESP32_ADC_H

#include "aiot/sensors.h"
#include "esp32.h"

#define AIOT_ADC_CHANNELS_MAX 4

/* Starts the converter. False if a pin does not belong to ADC 1, or the driver fails. */
bool aiot_esp32_adc_open(const int *pins, size_t channels, uint32_t hz);
/*
 * Reads a window. `values`: `samples` counts per channel, interleaved as for aiot_summary_of_counts. Waits at most 250 ms. False
 * = the window is not full yet.
 */
bool aiot_esp32_adc_window(uint16_t *values, size_t samples, bool *gap);
void aiot_esp32_adc_close(void);

/* Converts counts to calibrated volts. The slope is in volts per count, around the middle of the range. */
double aiot_esp32_adc_volts(double counts);
double aiot_esp32_adc_slope(void);

#endif
