/*
 * Firmware on trial. The bootloader's rollback (CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE) restores the previous version: a slot that
 * was started but not marked valid is abandoned at the next restart, for any reason.
 */
#include <string.h>

#include "esp32.h"
#include "esp_ota_ops.h"
#include "esp_partition.h"
#include "esp_system.h"

/* The example in FIPS 180-4: SHA-256 of "abc". */
static const uint8_t abc[AIOT_SHA256_BYTES] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                               0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                               0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};

static const esp_partition_t *slot_partition(int slot) {
  const esp_partition_subtype_t subtype = slot == 0 ? ESP_PARTITION_SUBTYPE_APP_OTA_0 : ESP_PARTITION_SUBTYPE_APP_OTA_1;
  return esp_partition_find_first(ESP_PARTITION_TYPE_APP, subtype, NULL);
}

static int running(void *context) {
  (void)context;
  const esp_partition_t *partition = esp_ota_get_running_partition();
  if (partition == NULL) return AIOT_NO_SLOT;
  if (partition->subtype == ESP_PARTITION_SUBTYPE_APP_OTA_0) return 0;
  return partition->subtype == ESP_PARTITION_SUBTYPE_APP_OTA_1 ? 1 : AIOT_NO_SLOT;
}

/* Selects the slot and restarts. If it returns, the chip cannot boot the image, and the trial has failed. */
static void restart_into(int slot) {
  const esp_partition_t *partition = slot_partition(slot);
  if (partition != NULL && esp_ota_set_boot_partition(partition) == ESP_OK) esp_restart();
}

static void begin(void *context, int slot, const aiot_content *content) {
  (void)content;
  if (running(context) != slot) restart_into(slot);
}

static bool self_test(aiot_device *device, int slot) {
  const aiot_crypto *crypto = device->setup.crypto;
  aiot_store *store = &device->store[AIOT_KIND_FIRMWARE];
  uint64_t state[AIOT_SHA256_STATE_BYTES / 8];
  uint8_t digest[AIOT_SHA256_BYTES];
  crypto->sha256_begin(crypto->context, state);
  crypto->sha256_update(crypto->context, state, "abc", 3);
  crypto->sha256_end(crypto->context, state, digest);
  if (memcmp(digest, abc, sizeof abc) != 0) return false;
  const aiot_content *content = &store->record.slot[slot];
  return content->present && aiot_store_digest(store, slot, content->bytes, digest) &&
         memcmp(digest, content->digest, sizeof digest) == 0;
}

static aiot_trial_state step(void *context, uint32_t *vectors, uint32_t *passed, aiot_error *error) {
  aiot_device *device = context;
  *vectors = 0;
  *passed = 0;
  const int slot = running(context);
  if (slot == device->update[AIOT_KIND_FIRMWARE].slot && self_test(device, slot)) return AIOT_TRIAL_PASSED;
  aiot_error_set(error, AIOT_UPDATE_TRIAL, "the program's self-test failed, or the chip cannot boot it");
  return AIOT_TRIAL_FAILED;
}

static void abandon(void *context, int slot, int active) {
  if (running(context) != slot) return;
  /* If there is no active slot, otadata still contains the previous selection, so a restart alone returns to it. */
  if (active == AIOT_NO_SLOT) esp_ota_mark_app_invalid_rollback_and_reboot();
  else restart_into(active);
}

static void activate(void *context, int slot, const aiot_content *content) {
  (void)content;
  if (running(context) == slot) esp_ota_mark_app_valid_cancel_rollback();
  else restart_into(slot);
}

/*
 * The bootloader has checked the running slot, so if its bytes differ from the record, it contains another program. If the
 * bootloader abandoned a slot, otadata shows this; flashing by cable selects a slot again or erases otadata.
 */
static bool by_cable(void *context, int slot) {
  esp_ota_img_states_t state;
  const esp_partition_t *partition = slot_partition(slot);
  if (running(context) == slot) return true;
  if (partition == NULL || esp_ota_get_state_partition(partition, &state) != ESP_OK) return true;
  return state != ESP_OTA_IMG_ABORTED && state != ESP_OTA_IMG_INVALID && state != ESP_OTA_IMG_PENDING_VERIFY;
}

void aiot_esp32_confirm(const aiot_device *device) {
  static bool confirmed;
  const bool updated = device->setup.flash[AIOT_KIND_FIRMWARE] != NULL;
  if (confirmed || device->connection == 0 || (updated && !aiot_update_settled(&device->update[AIOT_KIND_FIRMWARE]))) return;
  confirmed = esp_ota_mark_app_valid_cancel_rollback() == ESP_OK;
}

const aiot_trial *aiot_esp32_trial(aiot_device *device) {
  static aiot_trial trial;
  trial = (aiot_trial){.context = device, .running = running, .begin = begin, .step = step, .abandon = abandon, .activate = activate, .by_cable = by_cable};
  return &trial;
}
