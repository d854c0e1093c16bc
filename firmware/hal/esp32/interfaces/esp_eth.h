#ifndef AIOT_DECLARED_ESP_ETH_H
#define AIOT_DECLARED_ESP_ETH_H

#include "esp_event.h"
#include "esp_netif.h"
#include "sdkconfig.h"

extern esp_event_base_t const ETH_EVENT;
typedef enum { ETHERNET_EVENT_START, ETHERNET_EVENT_STOP, ETHERNET_EVENT_CONNECTED, ETHERNET_EVENT_DISCONNECTED } eth_event_t;
typedef enum { ETH_CMD_G_MAC_ADDR, ETH_CMD_S_MAC_ADDR } esp_eth_io_cmd_t;

typedef void *esp_eth_handle_t;
typedef struct esp_eth_mac_s esp_eth_mac_t;
typedef struct esp_eth_phy_s esp_eth_phy_t;
typedef struct esp_eth_netif_glue_t *esp_eth_netif_glue_handle_t;

typedef struct {
  uint32_t sw_reset_timeout_ms;
  uint32_t rx_task_stack_size;
  uint32_t rx_task_prio;
} eth_mac_config_t;
#define ETH_MAC_DEFAULT_CONFIG() {.sw_reset_timeout_ms = 100, .rx_task_stack_size = 2048, .rx_task_prio = 15}

typedef struct {
  int32_t phy_addr;
  uint32_t reset_timeout_ms;
  int reset_gpio_num;
} eth_phy_config_t;
#define ETH_PHY_DEFAULT_CONFIG() {.phy_addr = -1, .reset_timeout_ms = 100, .reset_gpio_num = 5}

typedef struct {
  esp_eth_mac_t *mac;
  esp_eth_phy_t *phy;
} esp_eth_config_t;
#define ETH_DEFAULT_CONFIG(one_mac, one_phy) {.mac = one_mac, .phy = one_phy}

esp_err_t esp_eth_driver_install(const esp_eth_config_t *config, esp_eth_handle_t *handle);
esp_err_t esp_eth_start(esp_eth_handle_t handle);
esp_err_t esp_eth_stop(esp_eth_handle_t handle);
esp_err_t esp_eth_ioctl(esp_eth_handle_t handle, esp_eth_io_cmd_t command, void *data);
esp_eth_netif_glue_handle_t esp_eth_new_netif_glue(esp_eth_handle_t handle);

/* The chips with built-in Ethernet. */
#if defined(CONFIG_IDF_TARGET_ESP32) || defined(CONFIG_IDF_TARGET_ESP32P4)
typedef struct {
  int dma_burst_len;
} eth_esp32_emac_config_t;
#define ETH_ESP32_EMAC_DEFAULT_CONFIG() {.dma_burst_len = 32}
esp_eth_mac_t *esp_eth_mac_new_esp32(const eth_esp32_emac_config_t *chip, const eth_mac_config_t *config);
esp_eth_phy_t *esp_eth_phy_new_generic(const eth_phy_config_t *config);
esp_eth_phy_t *esp_eth_phy_new_lan87xx(const eth_phy_config_t *config);
esp_eth_phy_t *esp_eth_phy_new_ip101(const eth_phy_config_t *config);
#endif

#include "driver/spi_master.h"

typedef struct {
  int int_gpio_num;
  uint32_t poll_period_ms;
  spi_host_device_t spi_host_id;
  spi_device_interface_config_t *spi_devcfg;
} eth_w5500_config_t;
#define ETH_W5500_DEFAULT_CONFIG(host, device) {.int_gpio_num = 4, .spi_host_id = host, .spi_devcfg = device}
esp_eth_mac_t *esp_eth_mac_new_w5500(const eth_w5500_config_t *chip, const eth_mac_config_t *config);
esp_eth_phy_t *esp_eth_phy_new_w5500(const eth_phy_config_t *config);

#endif
