/* Tests the store for settings of hal/esp32 on a simulated NVS: a text is replaced or deleted, or the former one remains. */
#include <string.h>

#include "check.h"
#include "esp32.h"
#include "nvs.h"

static struct {
  bool exists, broken, uncommitted;
  char value[64];
  size_t bytes;
  int opened, created;
} sim;

esp_err_t nvs_open(const char *name, nvs_open_mode_t mode, nvs_handle_t *handle) {
  if (strcmp(name, "aiot_settings") != 0) return 1;
  if (!sim.exists && mode == NVS_READONLY) return ESP_ERR_NVS_NOT_FOUND;
  if (sim.broken && mode == NVS_READWRITE) return 2;
  sim.created += !sim.exists;
  sim.exists = true;
  sim.opened++;
  *handle = 1;
  return ESP_OK;
}
void nvs_close(nvs_handle_t handle) { sim.opened -= handle == 1; }
esp_err_t nvs_get_blob(nvs_handle_t handle, const char *key, void *out, size_t *bytes) {
  if (handle != 1 || strcmp(key, "values") != 0 || sim.bytes == 0) return ESP_ERR_NVS_NOT_FOUND;
  if (sim.bytes > *bytes) return 3;
  memcpy(out, sim.value, sim.bytes);
  *bytes = sim.bytes;
  return ESP_OK;
}
esp_err_t nvs_set_blob(nvs_handle_t handle, const char *key, const void *value, size_t bytes) {
  if (handle != 1 || strcmp(key, "values") != 0 || bytes > sizeof sim.value) return 4;
  memcpy(sim.value, value, bytes);
  sim.bytes = bytes;
  sim.uncommitted = true;
  return ESP_OK;
}
esp_err_t nvs_erase_all(nvs_handle_t handle) {
  sim.bytes = 0;
  sim.uncommitted = true;
  return handle != 1;
}
esp_err_t nvs_commit(nvs_handle_t handle) {
  sim.uncommitted = false;
  return handle != 1;
}

int main(void) {
  checks c = {0};
  char out[64];
  const aiot_settings_store *store = &aiot_esp32_settings_store;
  check_at(&c, "settings", "none yet", 0, store->read(NULL, out, sizeof out) == 0);
  check_at(&c, "settings", "nothing to delete", 0, store->write(NULL, "", 0) && sim.created == 0);
  check_at(&c, "settings", "written", 0, store->write(NULL, "hello", 5) && !sim.uncommitted && store->read(NULL, out, sizeof out) == 5 && memcmp(out, "hello", 5) == 0);
  check_at(&c, "settings", "do not fit", 0, store->read(NULL, out, 4) == 0);
  sim.broken = true;
  check_at(&c, "settings", "not written", 0, !store->write(NULL, "x", 1) && store->read(NULL, out, sizeof out) == 5);
  check_at(&c, "settings", "not deleted", 0, !store->write(NULL, "", 0) && store->read(NULL, out, sizeof out) == 5);
  sim.broken = false;
  char large[80] = "";
  check_at(&c, "settings", "too large", 0, !store->write(NULL, large, sizeof large) && store->read(NULL, out, sizeof out) == 5);
  check_at(&c, "settings", "deleted", 0, store->write(NULL, "", 0) && !sim.uncommitted && store->read(NULL, out, sizeof out) == 0);
  check_equal(&c, "settings, closed", 0, 0, sim.opened);
  return checks_end(&c);
}
