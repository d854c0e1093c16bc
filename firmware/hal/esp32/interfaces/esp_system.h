#ifndef AIOT_DECLARED_ESP_SYSTEM_H
#define AIOT_DECLARED_ESP_SYSTEM_H

#include "esp_err.h"

typedef enum { ESP_RST_POWERON = 1, ESP_RST_DEEPSLEEP = 8 } esp_reset_reason_t;

esp_reset_reason_t esp_reset_reason(void);
void esp_restart(void) __attribute__((noreturn));

#endif
