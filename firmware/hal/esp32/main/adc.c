#include "adc.h"

#include <stdatomic.h>
#include <string.h>

#include "esp_adc/adc_cali.h"
#include "esp_adc/adc_cali_scheme.h"
#include "esp_adc/adc_continuous.h"
#include "esp_timer.h"
#include "sdkconfig.h"
#include "soc/soc_caps.h"

/*
 * A conversion takes two bytes on an ESP32 and four on the others. The buffer has space for 50 ms at 20 kHz. That is enough,
 * because the sampler's task has the highest priority in this program.
 */
#ifdef CONFIG_IDF_TARGET_ESP32
enum { STORE = 2048 };
#else
enum { STORE = 4096 };
#endif
enum { FRAME = 1024, WAIT_MS = 50, TRIAL_US = 200000, TRIALS_US = 1000000 };

#if defined(CONFIG_IDF_TARGET_ESP32)
#define WORD AIOT_ADC_WORD16
#define FORMAT ADC_DIGI_OUTPUT_FORMAT_TYPE1
#elif defined(CONFIG_IDF_TARGET_ESP32S3) || defined(CONFIG_IDF_TARGET_ESP32P4)
#define WORD AIOT_ADC_WORD32_S3
#define FORMAT ADC_DIGI_OUTPUT_FORMAT_TYPE2
#elif defined(CONFIG_IDF_TARGET_ESP32C3)
#define WORD AIOT_ADC_WORD32_C3
#define FORMAT ADC_DIGI_OUTPUT_FORMAT_TYPE2
#elif defined(CONFIG_IDF_TARGET_ESP32C6) || defined(CONFIG_IDF_TARGET_ESP32H2)
#define WORD AIOT_ADC_WORD32_C6
#define FORMAT ADC_DIGI_OUTPUT_FORMAT_TYPE2
#else
#error "unknown chip: the format of its converter's results is not supported"
#endif

static struct {
  adc_continuous_handle_t handle;
  adc_cali_handle_t calibration;
  size_t channels;
  uint8_t channel[AIOT_ADC_CHANNELS_MAX];
  atomic_uint overflows;
  unsigned seen;
  uint8_t frame[FRAME];
  uint32_t bytes;
  uint32_t at;
  /* Number of samples per channel in the window that is being filled. */
  size_t filled[AIOT_ADC_CHANNELS_MAX];
} self;

/* Called from the interrupt. */
static bool on_overflow(adc_continuous_handle_t handle, const adc_continuous_evt_data_t *data, void *context) {
  (void)handle;
  (void)data;
  (void)context;
  atomic_fetch_add(&self.overflows, 1);
  return false;
}

/* Loads the chip's calibration from eFuse. Without it, voltages are those of an ideal ADC. */
static void calibrate(adc_channel_t channel) {
  if (self.calibration != NULL) return;
#if ADC_CALI_SCHEME_CURVE_FITTING_SUPPORTED
  const adc_cali_curve_fitting_config_t config = {.unit_id = ADC_UNIT_1, .chan = channel, .atten = ADC_ATTEN_DB_12, .bitwidth = ADC_BITWIDTH_12};
  if (adc_cali_create_scheme_curve_fitting(&config, &self.calibration) != ESP_OK) self.calibration = NULL;
#elif ADC_CALI_SCHEME_LINE_FITTING_SUPPORTED
  (void)channel;
  const adc_cali_line_fitting_config_t config = {.unit_id = ADC_UNIT_1, .atten = ADC_ATTEN_DB_12, .bitwidth = ADC_BITWIDTH_12};
  if (adc_cali_create_scheme_line_fitting(&config, &self.calibration) != ESP_OK) self.calibration = NULL;
#else
  /* ESP-IDF 5.3 cannot calibrate an ESP32-P4. */
  (void)channel;
#endif
}

static double volts_at(int counts) {
  int millivolts = 0;
  if (self.calibration != NULL && adc_cali_raw_to_voltage(self.calibration, counts, &millivolts) == ESP_OK) return millivolts / 1000.0;
  return counts * 3.3 / 4095;
}

double aiot_esp32_adc_volts(double counts) {
  const int low = (int)counts;
  const double below = volts_at(low);
  return below + (counts - low) * (volts_at(low + 1 > 4095 ? 4095 : low + 1) - below);
}

double aiot_esp32_adc_slope(void) { return (volts_at(2600) - volts_at(600)) / 2000; }

bool aiot_esp32_adc_open(const int *pins, size_t channels, uint32_t hz) {
  adc_digi_pattern_config_t pattern[AIOT_ADC_CHANNELS_MAX];
  memset(pattern, 0, sizeof pattern);
  if (channels == 0 || channels > AIOT_ADC_CHANNELS_MAX) return false;
  for (size_t i = 0; i < channels; i++) {
    adc_unit_t unit;
    adc_channel_t channel;
    if (adc_continuous_io_to_channel(pins[i], &unit, &channel) != ESP_OK || unit != ADC_UNIT_1) return false;
    pattern[i].atten = (uint8_t)ADC_ATTEN_DB_12;
    pattern[i].channel = (uint8_t)channel;
    pattern[i].unit = (uint8_t)ADC_UNIT_1;
    pattern[i].bit_width = (uint8_t)ADC_BITWIDTH_12;
    self.channel[i] = (uint8_t)channel;
    if (i == 0) calibrate(channel);
  }
  self.channels = channels;
  const adc_continuous_handle_cfg_t store = {.max_store_buf_size = STORE, .conv_frame_size = FRAME};
  const adc_continuous_config_t config = {.pattern_num = (uint32_t)channels, .adc_pattern = pattern, .sample_freq_hz = hz, .conv_mode = ADC_CONV_SINGLE_UNIT_1, .format = FORMAT};
  const adc_continuous_evt_cbs_t events = {.on_pool_ovf = on_overflow};
  if (adc_continuous_new_handle(&store, &self.handle) != ESP_OK) return false;
  atomic_store(&self.overflows, 0);
  self.seen = 0;
  self.bytes = self.at = 0;
  memset(self.filled, 0, sizeof self.filled);
  const bool started = adc_continuous_config(self.handle, &config) == ESP_OK &&
                       adc_continuous_register_event_callbacks(self.handle, &events, NULL) == ESP_OK &&
                       adc_continuous_start(self.handle) == ESP_OK;
  if (started) return true;
  adc_continuous_deinit(self.handle);
  self.handle = NULL;
  return false;
}

void aiot_esp32_adc_close(void) {
  if (self.handle == NULL) return;
  adc_continuous_stop(self.handle);
  adc_continuous_deinit(self.handle);
  self.handle = NULL;
}

static bool refill(void) {
  self.at = self.bytes = 0;
  return adc_continuous_read(self.handle, self.frame, FRAME, &self.bytes, WAIT_MS) == ESP_OK && self.bytes > 0;
}

/* Whether every channel has enough samples. */
static bool full(size_t samples) {
  for (size_t i = 0; i < self.channels; i++) {
    if (self.filled[i] < samples) return false;
  }
  return true;
}

bool aiot_esp32_adc_window(uint16_t *values, size_t samples, bool *gap) {
  const int64_t until = esp_timer_get_time() + 250000;
  const size_t step = aiot_adc_word_bytes(WORD);
  while (!full(samples)) {
    if (self.at + step > self.bytes && !refill() && esp_timer_get_time() > until) return false;
    const unsigned overflows = atomic_load(&self.overflows);
    if (overflows != self.seen) {
      /* A window must not span a gap, so the window is started again. */
      self.seen = overflows;
      *gap = true;
      memset(self.filled, 0, sizeof self.filled);
    }
    for (; self.at + step <= self.bytes && !full(samples); self.at += (uint32_t)step) {
      aiot_adc_result result;
      if (!aiot_adc_parse(WORD, self.frame + self.at, &result)) continue;
      for (size_t i = 0; i < self.channels; i++) {
        if (self.channel[i] != result.channel || self.filled[i] == samples) continue;
        values[self.filled[i]++ * self.channels + i] = result.count;
      }
    }
  }
  memset(self.filled, 0, sizeof self.filled);
  return true;
}

/* Measures the conversions per second over a fifth of a second. */
static bool try_rate(const int *pins, uint32_t hz, aiot_esp32_rate *rate) {
  if (!aiot_esp32_adc_open(pins, 1, hz)) return false;
  uint64_t bytes = 0;
  /* The measurement starts with the first frame, because the ADC is still starting up before it. */
  refill();
  const int64_t start = esp_timer_get_time();
  int64_t now = start;
  /* The first lost conversion ends the trial of this rate. */
  while (now - start < TRIAL_US && atomic_load(&self.overflows) == 0) {
    if (refill()) bytes += self.bytes;
    now = esp_timer_get_time();
    /* An ADC without output fails at every rate. */
    if (bytes == 0 && now - start >= 2 * WAIT_MS * 1000) break;
  }
  rate->asked_hz = hz;
  rate->hz = now == start ? 0 : (double)(bytes / aiot_adc_word_bytes(WORD)) * 1e6 / (double)(now - start);
  rate->overflows = atomic_load(&self.overflows);
  aiot_esp32_adc_close();
  return rate->overflows == 0 && bytes > 0;
}

bool aiot_esp32_adc_fastest(const int *pins, aiot_esp32_rate *rate) {
  /* Startup waits for this measurement, so no new trial begins after a second. */
  const int64_t until = esp_timer_get_time() + TRIALS_US;
  for (uint32_t hz = SOC_ADC_SAMPLE_FREQ_THRES_HIGH; hz >= SOC_ADC_SAMPLE_FREQ_THRES_LOW && esp_timer_get_time() < until; hz = hz / 4 * 3) {
    rate->overflows = 0;
    if (try_rate(pins, hz, rate)) return true;
    if (rate->overflows == 0) return false;
  }
  return false;
}
