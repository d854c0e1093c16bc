/* Tests that the firmware reads an NVS whose keys come from an HMAC key in the fuses, and that it never burns such a key. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "esp32.h"
#include "esp_log.h"
#include "nvs.h"
#include "nvs_flash.h"

struct nvs_sec_scheme {
  bool burned;
};

static struct {
  nvs_sec_scheme_t block;
  bool started, broken;
  int burns;
  char logged[256];
} sim;

nvs_sec_scheme_t *nvs_flash_get_default_security_scheme(void) { return &sim.block; }
esp_err_t nvs_flash_read_security_cfg_v2(nvs_sec_scheme_t *scheme, nvs_sec_cfg_t *keys) {
  if (!scheme->burned) return 0xf001;
  memset(keys->eky, 1, sizeof keys->eky);
  memset(keys->tky, 2, sizeof keys->tky);
  return ESP_OK;
}
esp_err_t nvs_flash_secure_init(nvs_sec_cfg_t *keys) {
  sim.started = keys->eky[31] == 1 && keys->tky[31] == 2 && !sim.broken;
  return sim.started ? ESP_OK : 1;
}
/* Like the vendor's, generates a missing key. */
esp_err_t nvs_flash_init(void) {
  nvs_sec_cfg_t keys;
  sim.burns += !sim.block.burned;
  sim.block.burned = true;
  nvs_flash_read_security_cfg_v2(&sim.block, &keys);
  return nvs_flash_secure_init(&keys);
}
esp_err_t nvs_open(const char *name, nvs_open_mode_t mode, nvs_handle_t *handle) {
  *handle = 1;
  return sim.started && strcmp(name, "wifi") == 0 ? ESP_OK : ESP_ERR_NVS_NOT_FOUND;
}
esp_err_t nvs_get_str(nvs_handle_t handle, const char *key, char *out, size_t *bytes) {
  if (strcmp(key, "ssid") != 0) return ESP_ERR_NVS_NOT_FOUND;
  snprintf(out, *bytes, "hall");
  return ESP_OK;
}
esp_err_t nvs_get_blob(nvs_handle_t handle, const char *key, void *out, size_t *bytes) { return ESP_ERR_NVS_NOT_FOUND; }
esp_err_t nvs_get_u8(nvs_handle_t handle, const char *key, uint8_t *out) { return ESP_ERR_NVS_NOT_FOUND; }
esp_err_t nvs_get_u32(nvs_handle_t handle, const char *key, uint32_t *out) { return ESP_ERR_NVS_NOT_FOUND; }
esp_err_t nvs_get_u64(nvs_handle_t handle, const char *key, uint64_t *out) { return ESP_ERR_NVS_NOT_FOUND; }
esp_err_t nvs_set_u8(nvs_handle_t handle, const char *key, uint8_t value) { return 1; }
esp_err_t nvs_set_u64(nvs_handle_t handle, const char *key, uint64_t value) { return 1; }
esp_err_t nvs_set_blob(nvs_handle_t handle, const char *key, const void *value, size_t bytes) { return 1; }
esp_err_t nvs_commit(nvs_handle_t handle) { return 1; }
void nvs_close(nvs_handle_t handle) {}
void esp_log_write(esp_log_level_t level, const char *tag, const char *format, ...) {
  va_list values;
  va_start(values, format);
  vsnprintf(sim.logged, sizeof sim.logged, format, values);
  va_end(values);
}

int main(void) {
  checks c = {0};
  static aiot_esp32_identity identity;
  check_at(&c, "identity", "without the key", 0, !aiot_esp32_identity_read_wifi(&identity) && !aiot_esp32_identity_read(&identity, NULL));
  check_equal(&c, "keys burned", 0, 0, sim.burns);
  check_at(&c, "identity", "log", 0, strstr(sim.logged, "key block 5 has no HMAC key") != NULL);
  sim.logged[0] = '\0';
  sim.block.burned = true;
  check_at(&c, "identity", "with the key", 0, aiot_esp32_identity_read_wifi(&identity) && strcmp(identity.network.ssid, "hall") == 0);
  sim.started = false;
  sim.broken = true;
  check_at(&c, "identity", "damaged", 0, !aiot_esp32_identity_read_wifi(&identity) && sim.logged[0] == '\0');
  return checks_end(&c);
}
