/*
 * Tests hal/esp32's ADC on a simulated driver: values of the circuit in docs/reference/hardware.md have the right units, and the
 * highest rate is found.
 */
#include <math.h>
#include <string.h>

#include "adc.h"
#include "check.h"
#include "esp_adc/adc_cali_scheme.h"
#include "esp_adc/adc_continuous.h"
#include "esp_timer.h"
#include "sdkconfig.h"

static const double pi = 3.14159265358979323846;

/*
 * Properties of each chip's ADC: the pins of docs/reference/hardware.md with their channels, a pin of ADC 2, and the result
 * format.
 */
#if defined(CONFIG_IDF_TARGET_ESP32)
enum { TEMPERATURE = 36, VIBRATION = 39, SOUND = 34, CURRENT = 35, RADIO = 4, WORD_BYTES = 2, CHANNEL_BIT = 12, HIGHEST_HZ = 2000000, LOWEST_HZ = 20000 };
static const int channel_pins[] = {36, 37, 38, 39, 32, 33, 34, 35};
#elif defined(CONFIG_IDF_TARGET_ESP32S3)
enum { TEMPERATURE = 1, VIBRATION = 2, SOUND = 3, CURRENT = 4, RADIO = 14, WORD_BYTES = 4, CHANNEL_BIT = 13, HIGHEST_HZ = 83333, LOWEST_HZ = 611 };
static const int channel_pins[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
#else
enum { TEMPERATURE = 0, VIBRATION = 1, SOUND = 3, CURRENT = 4, RADIO = 5, WORD_BYTES = 4, CHANNEL_BIT = 13, HIGHEST_HZ = 83333, LOWEST_HZ = 611 };
static const int channel_pins[] = {0, 1, 2, 3, 4};
#endif

static int channel_of(int pin) {
  for (size_t i = 0; i < sizeof channel_pins / sizeof channel_pins[0]; i++) {
    if (channel_pins[i] == pin) return (int)i;
  }
  return -1;
}

/* Simulated ADC. Its range starts at 130 mV, and the driver loses conversions above `most_hz`. */
static struct {
  uint32_t hz, most_hz;
  size_t channels;
  uint8_t channel[4];
  adc_continuous_callback_t on_overflow;
  uint64_t conversions;
  double us;
  bool overflow_now;
  bool silent;
} sim;

int64_t esp_timer_get_time(void) {
  /* Polling also takes time, so that the program gives up a silent ADC. */
  sim.us += 10;
  return (int64_t)sim.us;
}

esp_err_t adc_continuous_io_to_channel(int pin, adc_unit_t *unit, adc_channel_t *channel) {
  *unit = pin == RADIO ? ADC_UNIT_2 : ADC_UNIT_1;
  *channel = pin == RADIO ? 0 : channel_of(pin);
  return *channel < 0 ? -1 : ESP_OK;
}
esp_err_t adc_continuous_new_handle(const adc_continuous_handle_cfg_t *config, adc_continuous_handle_t *handle) {
  *handle = (adc_continuous_handle_t)(void *)&sim;
  return config->conv_frame_size % 4 == 0 ? ESP_OK : -1;
}
esp_err_t adc_continuous_config(adc_continuous_handle_t handle, const adc_continuous_config_t *config) {
  (void)handle;
  sim.hz = config->sample_freq_hz;
  sim.channels = config->pattern_num;
  for (size_t i = 0; i < sim.channels; i++) sim.channel[i] = config->adc_pattern[i].channel;
  return ESP_OK;
}
esp_err_t adc_continuous_register_event_callbacks(adc_continuous_handle_t handle, const adc_continuous_evt_cbs_t *callbacks, void *context) {
  (void)handle, (void)context;
  sim.on_overflow = callbacks->on_pool_ovf;
  return ESP_OK;
}
esp_err_t adc_continuous_start(adc_continuous_handle_t handle) { return (void)handle, ESP_OK; }
esp_err_t adc_continuous_stop(adc_continuous_handle_t handle) { return (void)handle, ESP_OK; }
esp_err_t adc_continuous_deinit(adc_continuous_handle_t handle) { return (void)handle, ESP_OK; }

/* Voltages at the pins: 50 degrees; 0.2 V RMS at 80 Hz; 0.4 V peak to peak at 440 Hz; 10 A at 50 Hz with 125 A per V. */
static double volts(uint8_t channel, double t) {
  if (channel == channel_of(TEMPERATURE)) return 1.0;
  if (channel == channel_of(VIBRATION)) return 1.32 + 0.2 * sqrt(2.0) * sin(2 * pi * 80 * t);
  if (channel == channel_of(SOUND)) return 1.65 + 0.2 * sin(2 * pi * 440 * t);
  return 1.32 + 10.0 / 125 * sqrt(2.0) * sin(2 * pi * 50 * t);
}

esp_err_t adc_continuous_read(adc_continuous_handle_t handle, uint8_t *out, uint32_t room, uint32_t *bytes, uint32_t timeout_ms) {
  *bytes = 0;
  if (sim.silent) {
    sim.us += timeout_ms * 1000.0;
    return -1;
  }
  if (sim.hz > sim.most_hz || sim.overflow_now) sim.on_overflow(handle, NULL, NULL);
  sim.overflow_now = false;
  for (; *bytes + WORD_BYTES <= room; *bytes += WORD_BYTES) {
    const uint8_t channel = sim.channel[sim.conversions % sim.channels];
    const long raw = lrint((volts(channel, (double)sim.conversions / sim.hz) * 1000 - 130) / 0.79);
    const unsigned word = (unsigned)(raw < 0 ? 0 : raw > 4095 ? 4095 : raw) | (unsigned)channel << CHANNEL_BIT;
    for (size_t i = 0; i < WORD_BYTES; i++) out[*bytes + i] = (uint8_t)(word >> 8 * i);
    sim.conversions++;
    sim.us += 1e6 / sim.hz;
  }
  return ESP_OK;
}

#if ADC_CALI_SCHEME_CURVE_FITTING_SUPPORTED
esp_err_t adc_cali_create_scheme_curve_fitting(const adc_cali_curve_fitting_config_t *config, adc_cali_handle_t *handle) {
#else
esp_err_t adc_cali_create_scheme_line_fitting(const adc_cali_line_fitting_config_t *config, adc_cali_handle_t *handle) {
#endif
  *handle = (adc_cali_handle_t)(void *)&sim;
  return config->bitwidth == ADC_BITWIDTH_12 ? ESP_OK : -1;
}
esp_err_t adc_cali_raw_to_voltage(adc_cali_handle_t handle, int raw, int *millivolts) {
  (void)handle;
  *millivolts = (int)lrint(130 + raw * 0.79);
  return ESP_OK;
}

static void near(checks *c, const char *what, size_t row, double expected, double got, double within) {
  if (!check_at(c, what, "row", row, fabs(expected - got) <= within)) printf("  expected %g, got %g\n", expected, got);
}

static void test_guide(checks *c) {
  static const double expected[] = {50, 0.2, 0.4, 10}, within[] = {0.2, 0.001, 0.004, 0.05};
  const aiot_esp32_source *source = aiot_esp32_source_guide();
  sim.most_hz = 100000;
  check_at(c, "guide", "opens", 0, source->open() == AIOT_SENSOR_OK && source->fields == 4 && sim.hz == 20000);
  near(c, "guide, rate", 0, 10, source->rate_hz, 0);
  for (size_t i = 0; i < 5; i++) {
    double values[4] = {0};
    bool gap = false;
    const double before = sim.us;
    sim.overflow_now = i == 3;
    check_at(c, "guide", "reads", i, source->read(values, 1, &gap) == 1 && gap == (i == 3));
    for (size_t f = 0; f < 4; f++) near(c, source->field[f], i, expected[f], values[f], within[f]);
    /* A window takes a tenth of a second, to within one frame. */
    if (i != 3) near(c, "guide, window", i, 100e3, sim.us - before, 30e3);
  }
  double values[4];
  bool gap = false;
  sim.silent = true;
  check_at(c, "guide", "a silent converter does not block", 0, source->read(values, 1, &gap) == 0);
  sim.silent = false;
  aiot_esp32_adc_close();
}

static void test_acs712(checks *c) {
  const aiot_esp32_source *source = aiot_esp32_source_acs712();
  check_at(c, "acs712", "opens", 0, source->open() == AIOT_SENSOR_OK && source->fields == 1 && sim.channels == 1);
  double value = 0;
  bool gap = false;
  check_at(c, "acs712", "reads", 0, source->read(&value, 1, &gap) == 1 && !gap);
  /* 0.08 V RMS at the pin correspond to 0.16 V at the sensor, which has 10 A per volt. */
  near(c, "acs712", 0, 1.6, value, 0.01);
  aiot_esp32_adc_close();
}

static void test_rates(checks *c) {
  static const int pins[] = {CURRENT}, radio[] = {RADIO};
  static const uint32_t most[] = {3000000, HIGHEST_HZ / 3, HIGHEST_HZ / 9, LOWEST_HZ * 3 / 2};
  for (size_t i = 0; i < sizeof most / sizeof most[0]; i++) {
    aiot_esp32_rate rate = {0};
    sim.most_hz = most[i];
    check_at(c, "rate", "found", i, aiot_esp32_adc_fastest(pins, &rate) && rate.overflows == 0);
    check_at(c, "rate", "the highest rate", i, rate.asked_hz <= most[i] && (rate.asked_hz > most[i] / 4 * 3 || i == 0));
    near(c, "measured rate", i, rate.asked_hz, rate.hz, rate.asked_hz * 0.05);
  }
  aiot_esp32_rate rate = {0};
  sim.most_hz = LOWEST_HZ / 2;
  double began = sim.us;
  check_at(c, "rate", "none", 0, !aiot_esp32_adc_fastest(pins, &rate));
  check_at(c, "rate", "no rate within 1.3 s", (size_t)((sim.us - began) / 1000), sim.us - began < 1300e3);
  sim.silent = true;
  began = sim.us;
  check_at(c, "rate", "a silent converter", 0, !aiot_esp32_adc_fastest(pins, &rate) && sim.us - began < 300e3);
  sim.silent = false;
  check_at(c, "rate", "the radio's converter is rejected", 0, !aiot_esp32_adc_open(radio, 1, 20000) && !aiot_esp32_adc_open(pins, 0, 20000));
}

int main(void) {
  checks c = {0, 0};
  test_guide(&c);
  test_acs712(&c);
  test_rates(&c);
  return checks_end(&c);
}
