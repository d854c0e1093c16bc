#ifndef AIOT_DECLARED_NVS_FLASH_H
#define AIOT_DECLARED_NVS_FLASH_H

#include <stdint.h>

#include "esp_err.h"

enum { NVS_KEY_SIZE = 32 };

typedef struct {
  uint8_t eky[NVS_KEY_SIZE], tky[NVS_KEY_SIZE];
} nvs_sec_cfg_t;
typedef struct nvs_sec_scheme nvs_sec_scheme_t;

esp_err_t nvs_flash_init(void);
esp_err_t nvs_flash_secure_init(nvs_sec_cfg_t *keys);
nvs_sec_scheme_t *nvs_flash_get_default_security_scheme(void);
esp_err_t nvs_flash_read_security_cfg_v2(nvs_sec_scheme_t *scheme, nvs_sec_cfg_t *keys);

#endif
