/* The guide's sensors on the ADC, with an ACS712 as an alternative to the current clamp. */
#include "adc.h"
#include "settings.h"

#define FIELDS 4
#define SAMPLES(channels) ((size_t)AIOT_ADC_HZ / (channels) * AIOT_ADC_WINDOW_MS / 1000)

static const int pins[FIELDS] = {AIOT_ADC_PINS};
static uint16_t window[FIELDS * SAMPLES(FIELDS)];
static const char *const guide_fields[] = {"temperature", "vibration", "sound", "current"};
static const char *const current_field[] = {"current"};
static aiot_channel channel[FIELDS];

/* Sets up the channels with the calibrated volts per count instead of those of an ideal converter. */
static void set_channels(size_t channels) {
  const aiot_converter converter = {12, 3.3};
  if (channels == 1) {
    channel[0] = aiot_acs712(converter, AIOT_ACS712_KIND, AIOT_ACS712_DIVIDER);
  } else {
    channel[0] = aiot_tmp36(converter);
    channel[1] = aiot_piezo(converter);
    channel[2] = aiot_max4465(converter);
    channel[3] = aiot_sct013(converter, AIOT_CT_TURNS, AIOT_CT_BURDEN_OHMS);
  }
  for (size_t i = 0; i < channels; i++) channel[i].volts_per_count = aiot_esp32_adc_slope();
}

static aiot_sensor_code open_pins(const int *first, size_t channels) {
  if (!aiot_esp32_adc_open(first, channels, AIOT_ADC_HZ)) return AIOT_SENSOR_FAILED;
  set_channels(channels);
  return AIOT_SENSOR_OK;
}

static aiot_sensor_code open_guide(void) { return open_pins(pins, FIELDS); }
static aiot_sensor_code open_current(void) { return open_pins(pins + 3, 1); }

static int read_channels(double *values, size_t room, bool *gap, size_t channels) {
  /* A single channel gets as many samples as four together, so that the window's duration is the same. */
  const size_t samples = SAMPLES(channels);
  if (room == 0 || !aiot_esp32_adc_window(window, samples, gap)) return 0;
  for (size_t i = 0; i < channels; i++) {
    aiot_summary counts = aiot_summary_of_counts(window, samples, channels, i);
    /* A mean corresponds to one point of the calibration curve; an AC value corresponds to its slope. */
    if (channel[i].quantity == AIOT_MEAN) counts.mean = aiot_esp32_adc_volts(counts.mean) / channel[i].volts_per_count;
    values[i] = aiot_channel_value(&channel[i], &counts);
  }
  return 1;
}

static int read_guide(double *values, size_t room, bool *gap) { return read_channels(values, room, gap, FIELDS); }
static int read_current(double *values, size_t room, bool *gap) { return read_channels(values, room, gap, 1); }

const aiot_esp32_source *aiot_esp32_source_guide(void) {
  static const aiot_esp32_source source = {1000.0 / AIOT_ADC_WINDOW_MS, FIELDS, guide_fields, open_guide, read_guide};
  return &source;
}

const aiot_esp32_source *aiot_esp32_source_acs712(void) {
  static const aiot_esp32_source source = {1000.0 / AIOT_ADC_WINDOW_MS, 1, current_field, open_current, read_current};
  return &source;
}
