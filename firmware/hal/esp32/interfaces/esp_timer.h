#ifndef AIOT_DECLARED_ESP_TIMER_H
#define AIOT_DECLARED_ESP_TIMER_H

#include "esp_err.h"

int64_t esp_timer_get_time(void);

#endif
