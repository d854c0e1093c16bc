/* The active model, and the trial of a new one, which runs its golden vectors in place. */
#include "outbox.h"
#include "prove.h"
#include "take.h"
#include "trials.h"

static void begin_trial(void *context, int slot, const aiot_content *content) {
  aiot_device *device = context;
  device->trial_slot = slot;
  device->trial_bytes = content->bytes;
  device->golden = NULL;
}

/* Opens the golden vectors in memory that the active model does not use, because that model continues to predict. */
static aiot_code open_golden(aiot_device *device) {
  const uint8_t *data = aiot_store_map(&device->store[AIOT_KIND_MODEL], device->trial_slot, device->trial_bytes);
  if (data == NULL) return AIOT_FLASH_FAILED;
  aiot_arena arena;
  aiot_arena_init(&arena, device->arena.base + device->arena.used, device->arena.bytes - device->arena.used);
  aiot_bundle *bundle = aiot_arena_take(&arena, sizeof *bundle, _Alignof(aiot_bundle));
  if (bundle == NULL) return AIOT_MEMORY_SHORT;
  const aiot_code code = aiot_bundle_open(bundle, data, device->trial_bytes, &arena);
  return code == AIOT_OK ? aiot_golden_open(bundle, device->setup.inference, &arena, &device->golden) : code;
}

/* Runs one vector per call, so that samples, messages and the connection are served in between. */
static aiot_trial_state run_trial(void *context, uint32_t *vectors, uint32_t *passed, aiot_error *error) {
  aiot_device *device = context;
  aiot_code code = AIOT_OK;
  bool more = false;
  if (device->golden == NULL) {
    code = open_golden(device);
    if (code == AIOT_OK) return AIOT_TRIAL_WORKS;
  } else {
    more = aiot_golden_next(device->golden, &code);
  }
  if (more) return AIOT_TRIAL_WORKS;
  if (device->golden != NULL) {
    size_t ran = 0;
    size_t good = 0;
    aiot_golden_counts(device->golden, &ran, &good);
    *vectors = (uint32_t)ran;
    *passed = (uint32_t)good;
  }
  device->golden = NULL;
  /* A wrong result is not an error here: it is counted, and the update reports the counts. */
  if (code == AIOT_OK || code == AIOT_GOLDEN_MISMATCH) return AIOT_TRIAL_PASSED;
  aiot_error_set(error, code, "this device cannot run the bundle");
  return AIOT_TRIAL_FAILED;
}

static void abandon_trial(void *context, int slot, int active) {
  (void)context;
  (void)slot;
  (void)active;
}

static void activate(void *context, int slot, const aiot_content *content) {
  aiot_device *device = context;
  device->predictor = NULL;
  device->content = *content;
  aiot_device_used(device, AIOT_KIND_MODEL);
  device->arena.used = device->arena_mark;
  const uint8_t *data = aiot_store_map(&device->store[AIOT_KIND_MODEL], slot, content->bytes);
  aiot_code code = AIOT_FLASH_FAILED;
  if (data != NULL) code = aiot_bundle_open(&device->bundle, data, content->bytes, &device->arena);
  if (code == AIOT_OK) {
    code = aiot_predictor_open(&device->bundle, device->setup.inference, &device->arena, &device->predictor);
  }
  if (code != AIOT_OK) {
    device->predictor = NULL;
    device->arena.used = device->arena_mark;
    aiot_device_log(device, "error", "the active model is unusable", code);
  }
  aiot_device_match(device);
}

aiot_trial aiot_device_model_trial(aiot_device *device) {
  return (aiot_trial){.context = device, .begin = begin_trial, .step = run_trial, .abandon = abandon_trial, .activate = activate};
}
