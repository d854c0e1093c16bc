/*
 * The core dump of a crash. It is reported at each start, and deleted once the board has worked for a while. Until then, no
 * further dump is written (CONFIG_ESP_COREDUMP_FLASH_NO_OVERWRITE), so that a board in a crash loop writes only one dump.
 */
#include <stdio.h>
#include <stdlib.h>

#include "esp32.h"
#include "esp_core_dump.h"
#include "sdkconfig.h"
#include "settings.h"

static bool present;

#if CONFIG_ESP_COREDUMP_ENABLE_TO_FLASH && CONFIG_ESP_COREDUMP_DATA_FORMAT_ELF
bool aiot_esp32_dump_read(char *text, size_t room) {
  const esp_err_t state = esp_core_dump_image_check();
  /*
   * A dump that a power cut or the watchdog has truncated is erased, because it would prevent a readable one from being written.
   */
  if (state == ESP_ERR_INVALID_CRC) esp_core_dump_image_erase();
  present = state == ESP_OK;
  if (!present) return false;
  esp_core_dump_summary_t *summary = malloc(sizeof *summary);
  if (summary != NULL && esp_core_dump_get_summary(summary) == ESP_OK) {
    snprintf(text, room, "the program crashed in task %.16s at 0x%08lx; its ELF file begins with %.9s", summary->exc_task, (unsigned long)summary->exc_pc,
             (const char *)summary->app_elf_sha256);
  } else {
    snprintf(text, room, "the program crashed; its core dump has no summary");
  }
  free(summary);
  return true;
}

static bool erase(void) { return esp_core_dump_image_erase() == ESP_OK; }
#else
bool aiot_esp32_dump_read(char *text, size_t room) {
  (void)text;
  (void)room;
  return false;
}

static bool erase(void) { return true; }
#endif

void aiot_esp32_dump_step(uint64_t now_ms, bool online) {
  if (present && online && now_ms >= AIOT_CRASH_KEPT_MS) present = !erase();
}
