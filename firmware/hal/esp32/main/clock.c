#include <sys/time.h>

#include "esp32.h"
#include "esp_netif_sntp.h"
#include "esp_timer.h"
#include "sdkconfig.h"

/* Start of 2024. The clock starts at 1970, so an earlier time means that it was never set. */
#define SET_SECONDS 1704067200

static uint64_t uptime_us(void *context) {
  (void)context;
  return (uint64_t)esp_timer_get_time();
}

static uint64_t uptime_ms(void *context) { return uptime_us(context) / 1000; }

static int64_t now_ms(void *context) {
  (void)context;
  struct timeval now;
  gettimeofday(&now, NULL);
  if (now.tv_sec < SET_SECONDS) return -1;
  return (int64_t)now.tv_sec * 1000 + (int64_t)now.tv_usec / 1000;
}

bool aiot_esp32_clock_set(void) { return now_ms(NULL) >= 0; }

const aiot_clock aiot_esp32_clock = {NULL, uptime_ms, now_ms, uptime_us};

/* The first entry is for the network's own server, which DHCP may provide. */
#if CONFIG_LWIP_DHCP_GET_NTP_SRV
#define BY_DHCP 1
#else
#define BY_DHCP 0
#endif

enum { SERVERS = CONFIG_LWIP_SNTP_MAX_SERVERS - BY_DHCP };

static bool prepared, asking;

bool aiot_esp32_clock_prepare(const char *platform, const char *server) {
  static char host[128];
  esp_sntp_config_t config = {.server_from_dhcp = BY_DHCP, .renew_servers_after_new_IP = BY_DHCP, .ip_event_to_renew = IP_EVENT_STA_GOT_IP, .index_of_first_server = BY_DHCP};
  if (aiot_url_host(platform, host, sizeof host)) config.servers[config.num_of_servers++] = host;
  if (server[0] != '\0' && config.num_of_servers < SERVERS) config.servers[config.num_of_servers++] = server;
  prepared = esp_netif_sntp_init(&config) == ESP_OK;
  return prepared;
}

void aiot_esp32_clock_step(bool online) {
  if (!prepared || asking || !online) return;
  asking = esp_netif_sntp_start() == ESP_OK;
}
