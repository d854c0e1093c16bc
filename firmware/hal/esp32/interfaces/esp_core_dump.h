#ifndef AIOT_DECLARED_ESP_CORE_DUMP_H
#define AIOT_DECLARED_ESP_CORE_DUMP_H

#include "esp_err.h"
#include "sdkconfig.h"

#if CONFIG_IDF_TARGET_ARCH_XTENSA
typedef struct {
  uint32_t bt[16];
  uint32_t depth;
  bool corrupted;
} esp_core_dump_bt_info_t;
typedef struct {
  uint32_t exc_cause;
  uint32_t exc_vaddr;
  uint32_t exc_a[16];
} esp_core_dump_summary_extra_info_t;
#else
typedef struct {
  uint8_t stackdump[1024];
  uint32_t dump_size;
} esp_core_dump_bt_info_t;
typedef struct {
  uint32_t mstatus, mtvec, mcause, mtval, ra, sp;
  uint32_t exc_a[8];
} esp_core_dump_summary_extra_info_t;
#endif

typedef struct {
  char exc_task[16];
  uint32_t exc_pc;
  esp_core_dump_bt_info_t exc_bt_info;
  uint8_t app_elf_sha256[10];
  esp_core_dump_summary_extra_info_t ex_info;
} esp_core_dump_summary_t;

esp_err_t esp_core_dump_image_check(void);
esp_err_t esp_core_dump_image_erase(void);
esp_err_t esp_core_dump_get_summary(esp_core_dump_summary_t *summary);
esp_err_t esp_core_dump_get_panic_reason(char *reason_buffer, size_t buffer_size);

#endif
