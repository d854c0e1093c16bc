/*
 * The active configuration, and the trial of a new one. A new configuration is read, checked against the sensor and the model,
 * and used from then on, including for the heartbeat.
 */
#include <inttypes.h>
#include <math.h>

#include "outbox.h"
#include "prove.h"
#include "take.h"
#include "trials.h"

static void use_config(aiot_device *device, const aiot_config *config) {
  device->config = *config;
  aiot_device_retake(device);
  if (device->setup.configure != NULL) device->setup.configure(device->setup.context, config);
}

/* Reads a slot's document into the message buffer, which is not in use between two messages. */
static aiot_code read_slot(aiot_device *device, int slot, uint32_t bytes, aiot_config *config, aiot_error *error) {
  if (bytes > AIOT_CONFIG_BYTES || bytes > device->message.room) {
    aiot_error_set(error, AIOT_CONFIG_MALFORMED, "expected at most %u bytes, got %u", AIOT_CONFIG_BYTES, (unsigned)bytes);
    return AIOT_CONFIG_MALFORMED;
  }
  if (!aiot_store_read(&device->store[AIOT_KIND_CONFIG], slot, 0, device->message.out, bytes)) {
    aiot_error_set(error, AIOT_FLASH_FAILED, "the configuration cannot be read");
    return AIOT_FLASH_FAILED;
  }
  return aiot_config_read(config, device->message.out, bytes, error);
}

static int64_t nearest(double hz) { return (int64_t)floor(hz + 0.5); }

/* Whether the configuration suits the sensor and the model, as far as they are known. */
static bool suits(const aiot_device *device, const aiot_config *config, aiot_error *error) {
  const size_t group = device->taking ? aiot_config_group(config, device->sensor_hz) : 1;
  if (group == 0) {
    aiot_error_set(error, AIOT_CONFIG_UNFIT, "sampleHz: expected a divisor of the sensor's %" PRId64 " Hz", nearest(device->sensor_hz));
    return false;
  }
  if (device->predictor == NULL || aiot_device_timeless(device)) return true;
  const double rate = device->taking ? device->sensor_hz / (double)group : config->sample_hz;
  const double model = device->bundle.signal.rate_hz;
  /* If the model does not suit the sensor anyway, the configuration is not at fault. */
  if (rate <= 0 || (device->taking && !device->fits) || fabs(rate - model) <= 1e-9 * model) return true;
  aiot_error_set(error, AIOT_CONFIG_UNFIT, "sampleHz: expected %" PRId64 " Hz as required by the active model, got %" PRId64, nearest(model), nearest(rate));
  return false;
}

static void begin_trial(void *context, int slot, const aiot_content *content) {
  aiot_device *device = context;
  device->config_slot = slot;
  device->config_bytes = content->bytes;
}

static aiot_trial_state run_trial(void *context, uint32_t *vectors, uint32_t *passed, aiot_error *error) {
  aiot_device *device = context;
  aiot_config config;
  *vectors = 0;
  *passed = 0;
  if (read_slot(device, device->config_slot, device->config_bytes, &config, error) != AIOT_OK) return AIOT_TRIAL_FAILED;
  if (!suits(device, &config, error)) return AIOT_TRIAL_FAILED;
  use_config(device, &config);
  return AIOT_TRIAL_PASSED;
}

static void use_slot(aiot_device *device, int slot, uint32_t bytes) {
  aiot_config config;
  aiot_error error;
  const aiot_code code = read_slot(device, slot, bytes, &config, &error);
  if (code != AIOT_OK) {
    config = aiot_config_default();
    aiot_device_log(device, "error", "the active configuration is unusable", code);
  }
  use_config(device, &config);
}

static void abandon_trial(void *context, int slot, int active) {
  aiot_device *device = context;
  const aiot_config usual = aiot_config_default();
  (void)slot;
  if (active == AIOT_NO_SLOT) use_config(device, &usual);
  else use_slot(device, active, device->store[AIOT_KIND_CONFIG].record.slot[active].bytes);
}

static void activate(void *context, int slot, const aiot_content *content) {
  use_slot(context, slot, content->bytes);
  aiot_device_used(context, AIOT_KIND_CONFIG);
}

aiot_trial aiot_device_config_trial(aiot_device *device) {
  return (aiot_trial){.context = device, .begin = begin_trial, .step = run_trial, .abandon = abandon_trial, .activate = activate};
}
