#ifndef AIOT_DECLARED_ESP_CORE_DUMP_H
#define AIOT_DECLARED_ESP_CORE_DUMP_H

#include "esp_err.h"

typedef struct {
  char exc_task[16];
  uint32_t exc_pc;
  uint8_t app_elf_sha256[10];
} esp_core_dump_summary_t;

esp_err_t esp_core_dump_image_check(void);
esp_err_t esp_core_dump_image_erase(void);
esp_err_t esp_core_dump_get_summary(esp_core_dump_summary_t *summary);

#endif
