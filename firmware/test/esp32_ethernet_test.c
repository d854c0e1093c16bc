/* Tests the board's Ethernet on simulated vendor functions: it starts only if every part does, and follows cable and address. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "driver/gpio.h"
#include "driver/spi_master.h"
#include "esp32.h"
#include "esp_eth.h"
#include "esp_mac.h"
#include "settings.h"

esp_event_base_t const ETH_EVENT = "ETH_EVENT";
esp_event_base_t const IP_EVENT = "IP_EVENT";

static struct {
  /* The call that fails, counted from 1; 0 = none. */
  int failing, calls;
  bool powered, addressed, running;
  char hostname[AIOT_HOSTNAME_BYTES];
  esp_event_handler_t handler;
  int handlers;
  int interrupt, poll_ms;
} sim;

static bool works(void) { return ++sim.calls != sim.failing; }
static esp_err_t result(void) { return works() ? ESP_OK : -1; }
static void *object(void) { return works() ? &sim : NULL; }

esp_err_t esp_netif_init(void) { return result(); }
esp_err_t esp_event_loop_create_default(void) { return result(); }
esp_netif_t *esp_netif_new(const esp_netif_config_t *config) {
  (void)config;
  return object();
}
esp_err_t esp_netif_attach(esp_netif_t *interface, void *driver) {
  (void)interface;
  (void)driver;
  return result();
}
esp_err_t esp_netif_set_hostname(esp_netif_t *interface, const char *name) {
  (void)interface;
  snprintf(sim.hostname, sizeof sim.hostname, "%s", name);
  return ESP_OK;
}
esp_err_t esp_event_handler_instance_register(esp_event_base_t base, int32_t id, esp_event_handler_t handler, void *context, esp_event_handler_instance_t *instance) {
  (void)base;
  (void)id;
  (void)context;
  (void)instance;
  sim.handler = handler;
  sim.handlers++;
  return result();
}
esp_err_t esp_eth_driver_install(const esp_eth_config_t *config, esp_eth_handle_t *handle) {
  *handle = &sim;
  return config->mac != NULL && config->phy != NULL ? result() : -1;
}
esp_err_t esp_eth_start(esp_eth_handle_t handle) {
  (void)handle;
  sim.running = works();
  return sim.running ? ESP_OK : -1;
}
esp_err_t esp_eth_stop(esp_eth_handle_t handle) {
  (void)handle;
  sim.running = false;
  return ESP_OK;
}
esp_eth_netif_glue_handle_t esp_eth_new_netif_glue(esp_eth_handle_t handle) { return handle; }
esp_err_t gpio_config(const gpio_config_t *config) {
  (void)config;
  return result();
}
esp_err_t gpio_set_level(gpio_num_t pin, uint32_t level) {
  sim.powered = pin == AIOT_PHY_POWER_PIN && level == 1;
  return result();
}

#if AIOT_NETWORK == AIOT_NETWORK_RMII
esp_eth_mac_t *esp_eth_mac_new_esp32(const eth_esp32_emac_config_t *chip, const eth_mac_config_t *config) {
  (void)chip;
  (void)config;
  /* The oscillator of the PHY must already run. */
  return AIOT_PHY_POWER_PIN < 0 || sim.powered ? object() : NULL;
}
esp_eth_phy_t *esp_eth_phy_new_generic(const eth_phy_config_t *config) {
  (void)config;
  return object();
}
#else
esp_err_t gpio_install_isr_service(int flags) {
  (void)flags;
  return result();
}
esp_err_t spi_bus_initialize(spi_host_device_t host, const spi_bus_config_t *config, spi_dma_chan_t dma) {
  (void)host;
  (void)config;
  (void)dma;
  return result();
}
esp_eth_mac_t *esp_eth_mac_new_w5500(const eth_w5500_config_t *chip, const eth_mac_config_t *config) {
  (void)config;
  sim.interrupt = chip->int_gpio_num;
  sim.poll_ms = (int)chip->poll_period_ms;
  return object();
}
esp_eth_phy_t *esp_eth_phy_new_w5500(const eth_phy_config_t *config) {
  (void)config;
  return object();
}
esp_err_t esp_read_mac(uint8_t *mac, esp_mac_type_t type) {
  memset(mac, type == ESP_MAC_ETH ? 0x5a : 0, 6);
  return result();
}
esp_err_t esp_eth_ioctl(esp_eth_handle_t handle, esp_eth_io_cmd_t command, void *data) {
  (void)handle;
  sim.addressed = command == ETH_CMD_S_MAC_ADDR && *(uint8_t *)data == 0x5a;
  return result();
}
#endif

static aiot_esp32_identity identity = {.name = "Press 2"};

static void test_parts(checks *c) {
  size_t parts = 0;
  for (int failing = 1; failing < 30; failing++) {
    memset(&sim, 0, sizeof sim);
    sim.failing = failing;
    const bool started = aiot_esp32_network_start(&identity);
    if (sim.calls < failing) {
      check_at(c, "parts", "all", parts, started && sim.running);
      break;
    }
    parts++;
    check_at(c, "parts", "one fails", parts, !started && !aiot_esp32_network_joined());
  }
  check_at(c, "parts", "count", parts, parts >= 8 && parts < 29);
}

static void test_link(checks *c) {
  memset(&sim, 0, sizeof sim);
  check_at(c, "link", "starts", 0, aiot_esp32_network_start(&identity) && sim.handlers == 2 && strcmp(sim.hostname, "press-2") == 0);
#if AIOT_NETWORK == AIOT_NETWORK_W5500
  static const int pins[] = {AIOT_W5500_PINS};
  check_at(c, "link", "address", 0, sim.addressed);
  check_at(c, "link", "interrupt", 0, sim.interrupt == pins[4] && (sim.poll_ms > 0) == (pins[4] < 0));
#endif
  check_at(c, "link", "no cable", 0, !aiot_esp32_network_joined());
  sim.handler(NULL, ETH_EVENT, ETHERNET_EVENT_CONNECTED, NULL);
  check_at(c, "link", "no address", 0, !aiot_esp32_network_joined());
  sim.handler(NULL, IP_EVENT, IP_EVENT_ETH_GOT_IP, NULL);
  check_at(c, "link", "joined", 0, aiot_esp32_network_joined());
  sim.handler(NULL, IP_EVENT, IP_EVENT_ETH_LOST_IP, NULL);
  check_at(c, "link", "address lost", 0, !aiot_esp32_network_joined());
  sim.handler(NULL, IP_EVENT, IP_EVENT_ETH_GOT_IP, NULL);
  sim.handler(NULL, ETH_EVENT, ETHERNET_EVENT_DISCONNECTED, NULL);
  aiot_esp32_network_step(1);
  check_at(c, "link", "cable pulled", 0, !aiot_esp32_network_joined());
  sim.handler(NULL, IP_EVENT, IP_EVENT_ETH_GOT_IP, NULL);
  aiot_esp32_network_stop();
  check_at(c, "link", "stopped", 0, !sim.running && !aiot_esp32_network_joined());
}

int main(void) {
  checks c = {0, 0};
  test_parts(&c);
  test_link(&c);
  return checks_end(&c);
}
