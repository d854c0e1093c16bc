#ifndef AIOT_DECLARED_ESP_SNTP_H
#define AIOT_DECLARED_ESP_SNTP_H

#include "esp_err.h"

typedef enum { ESP_SNTP_OPMODE_POLL } esp_sntp_operatingmode_t;
typedef uint8_t u8_t;

void esp_sntp_setoperatingmode(esp_sntp_operatingmode_t mode);
void esp_sntp_setservername(u8_t index, const char *server);
void esp_sntp_init(void);

#endif
