#ifndef AIOT_DECLARED_ESP_MAC_H
#define AIOT_DECLARED_ESP_MAC_H

#include "esp_err.h"

typedef enum { ESP_MAC_WIFI_STA, ESP_MAC_ETH = 3 } esp_mac_type_t;

esp_err_t esp_read_mac(uint8_t *mac, esp_mac_type_t type);
esp_err_t esp_efuse_mac_get_default(uint8_t *mac);

#endif
