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
typedef struct {
  uint32_t addr;
} esp_ip4_addr_t;
typedef struct {
  esp_ip4_addr_t ip;
  esp_ip4_addr_t netmask;
  esp_ip4_addr_t gw;
} esp_netif_ip_info_t;
#define ESP_IPADDR_TYPE_V4 0U
typedef struct {
  union {
    uint32_t ip6[5];
    esp_ip4_addr_t ip4;
  } u_addr;
  uint8_t type;
} esp_ip_addr_t;
typedef struct {
  esp_ip_addr_t ip;
} esp_netif_dns_info_t;
typedef enum { ESP_NETIF_DNS_MAIN } esp_netif_dns_type_t;

/* Starting a client that runs, and stopping a client that does not, are errors. */
esp_err_t esp_netif_dhcpc_start(esp_netif_t *interface);
esp_err_t esp_netif_dhcpc_stop(esp_netif_t *interface);
esp_err_t esp_netif_set_ip_info(esp_netif_t *interface, const esp_netif_ip_info_t *addresses);
esp_err_t esp_netif_set_dns_info(esp_netif_t *interface, esp_netif_dns_type_t type, esp_netif_dns_info_t *dns);
esp_err_t esp_netif_set_hostname(esp_netif_t *interface, const char *name);

#endif
