#ifndef AIOT_DECLARED_ESP_NETIF_SNTP_H
#define AIOT_DECLARED_ESP_NETIF_SNTP_H

#include "esp_netif.h"
#include "sdkconfig.h"

typedef struct {
  bool smooth_sync;
  bool server_from_dhcp;
  bool wait_for_sync;
  bool start;
  bool renew_servers_after_new_IP;
  ip_event_t ip_event_to_renew;
  size_t index_of_first_server;
  size_t num_of_servers;
  const char *servers[CONFIG_LWIP_SNTP_MAX_SERVERS];
} esp_sntp_config_t;

esp_err_t esp_netif_sntp_init(const esp_sntp_config_t *config);
esp_err_t esp_netif_sntp_start(void);

#endif
