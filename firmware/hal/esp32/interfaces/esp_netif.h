#ifndef AIOT_DECLARED_ESP_NETIF_H
#define AIOT_DECLARED_ESP_NETIF_H

#include "esp_event.h"

typedef struct esp_netif_obj esp_netif_t;
extern esp_event_base_t const IP_EVENT;
typedef enum { IP_EVENT_STA_GOT_IP, IP_EVENT_STA_LOST_IP, IP_EVENT_ETH_GOT_IP, IP_EVENT_ETH_LOST_IP } ip_event_t;
typedef struct {
  const void *base;
} esp_netif_config_t;
#define ESP_NETIF_DEFAULT_ETH() {.base = NULL}

esp_err_t esp_netif_init(void);
esp_netif_t *esp_netif_new(const esp_netif_config_t *config);
esp_err_t esp_netif_attach(esp_netif_t *interface, void *driver);
esp_err_t esp_netif_set_hostname(esp_netif_t *interface, const char *name);

#endif
