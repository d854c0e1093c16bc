/* The program's own settings in NVS. A blob is replaced in one step, so that a power cut leaves either the former one or the new one. */
#include "esp32.h"
#include "nvs.h"

#define SPACE "aiot_settings"
#define VALUES "values"

static size_t read_settings(void *context, void *out, size_t room) {
  nvs_handle_t nvs;
  size_t bytes = room;
  (void)context;
  if (nvs_open(SPACE, NVS_READONLY, &nvs) != ESP_OK) return 0;
  if (nvs_get_blob(nvs, VALUES, out, &bytes) != ESP_OK) bytes = 0;
  nvs_close(nvs);
  return bytes;
}

static bool write_settings(void *context, const void *text, size_t bytes) {
  nvs_handle_t nvs;
  (void)context;
  /* A read-only open does not create the namespace: without it, there is nothing to delete. */
  if (bytes == 0) {
    const esp_err_t found = nvs_open(SPACE, NVS_READONLY, &nvs);
    if (found == ESP_OK) nvs_close(nvs);
    if (found == ESP_ERR_NVS_NOT_FOUND) return true;
  }
  if (nvs_open(SPACE, NVS_READWRITE, &nvs) != ESP_OK) return false;
  bool done = (bytes == 0 ? nvs_erase_all(nvs) : nvs_set_blob(nvs, VALUES, text, bytes)) == ESP_OK;
  done = nvs_commit(nvs) == ESP_OK && done;
  nvs_close(nvs);
  return done;
}

const aiot_settings_store aiot_esp32_settings_store = {NULL, read_settings, write_settings};
