#ifndef AIOT_DECLARED_ESP_EFUSE_H
#define AIOT_DECLARED_ESP_EFUSE_H

#include <stdint.h>

uint32_t esp_efuse_read_secure_version(void);

#endif
