#ifndef AIOT_DECLARED_ESP_ROM_SYS_H
#define AIOT_DECLARED_ESP_ROM_SYS_H

#include "esp_err.h"

void esp_rom_delay_us(uint32_t microseconds);

#endif
