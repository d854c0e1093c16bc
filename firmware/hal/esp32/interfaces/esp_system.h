#ifndef AIOT_DECLARED_ESP_SYSTEM_H
#define AIOT_DECLARED_ESP_SYSTEM_H

#include "esp_err.h"

void esp_restart(void) __attribute__((noreturn));

#endif
