#ifndef AIOT_DECLARED_ESP_RANDOM_H
#define AIOT_DECLARED_ESP_RANDOM_H

#include "esp_err.h"

void esp_fill_random(void *buffer, size_t bytes);
uint32_t esp_random(void);

#endif
