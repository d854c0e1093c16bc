#include "settings.h"

#if AIOT_NETWORK != AIOT_NETWORK_WIFI
#include <stdatomic.h>

#include "driver/gpio.h"
#include "esp32.h"
#include "esp_eth.h"
#include "esp_event.h"
#include "esp_idf_version.h"
#include "esp_mac.h"
#include "esp_netif.h"
#if AIOT_NETWORK == AIOT_NETWORK_W5500
#include "driver/spi_master.h"
#if ESP_IDF_VERSION >= ESP_IDF_VERSION_VAL(6, 0, 0)
/* The component espressif/w5500; see idf_component.yml. */
#include "esp_eth_mac_w5500.h"
#include "esp_eth_phy_w5500.h"
#endif
#endif

/* Written by the event task, read by the loop. The driver reports the cable; the DHCP client restarts automatically. */
static atomic_bool joined;

static esp_eth_handle_t driver;

static void on_event(void *context, esp_event_base_t base, int32_t id, void *data) {
  (void)context;
  (void)data;
  if (base == IP_EVENT && id == IP_EVENT_ETH_GOT_IP) atomic_store(&joined, true);
  if (base == IP_EVENT && id == IP_EVENT_ETH_LOST_IP) atomic_store(&joined, false);
  if (base == ETH_EVENT && id == ETHERNET_EVENT_DISCONNECTED) atomic_store(&joined, false);
}

#if AIOT_NETWORK == AIOT_NETWORK_RMII
static esp_eth_phy_t *new_phy(const eth_phy_config_t *config) {
#if ESP_IDF_VERSION >= ESP_IDF_VERSION_VAL(5, 4, 0)
  /* Works with each PHY that follows IEEE 802.3, such as LAN8720, IP101 and RTL8201. */
  return esp_eth_phy_new_generic(config);
#elif defined(CONFIG_IDF_TARGET_ESP32)
  return esp_eth_phy_new_lan87xx(config);
#else
  return esp_eth_phy_new_ip101(config);
#endif
}

static bool open_driver(void) {
  if (AIOT_PHY_POWER_PIN >= 0) {
    /* Some boards switch the oscillator of the PHY, without which the chip's Ethernet does not start. */
    const gpio_config_t pin = {.pin_bit_mask = 1ull << (AIOT_PHY_POWER_PIN & 63), .mode = GPIO_MODE_OUTPUT};
    if (gpio_config(&pin) != ESP_OK || gpio_set_level(AIOT_PHY_POWER_PIN, 1) != ESP_OK) return false;
  }
  eth_mac_config_t mac = ETH_MAC_DEFAULT_CONFIG();
  eth_phy_config_t phy = ETH_PHY_DEFAULT_CONFIG();
  phy.phy_addr = AIOT_PHY_ADDRESS;
  phy.reset_gpio_num = AIOT_PHY_RESET_PIN;
  eth_esp32_emac_config_t chip = ETH_ESP32_EMAC_DEFAULT_CONFIG();
  esp_eth_mac_t *new_mac = esp_eth_mac_new_esp32(&chip, &mac);
  esp_eth_phy_t *the_phy = new_phy(&phy);
  if (new_mac == NULL || the_phy == NULL) return false;
  const esp_eth_config_t config = ETH_DEFAULT_CONFIG(new_mac, the_phy);
  return esp_eth_driver_install(&config, &driver) == ESP_OK;
}
#else
enum { PIN_SCLK, PIN_MOSI, PIN_MISO, PIN_CS, PIN_INT };
enum { POLL_MS = 10, SPI_HZ = 20000000 };

static const int pins[] = {AIOT_W5500_PINS};

static bool open_driver(void) {
  const spi_bus_config_t bus = {.sclk_io_num = pins[PIN_SCLK], .mosi_io_num = pins[PIN_MOSI], .miso_io_num = pins[PIN_MISO], .quadwp_io_num = -1, .quadhd_io_num = -1};
  spi_device_interface_config_t device = {.mode = 0, .clock_speed_hz = SPI_HZ, .spics_io_num = pins[PIN_CS], .queue_size = 20};
  if (pins[PIN_INT] >= 0 && gpio_install_isr_service(0) != ESP_OK) return false;
  if (spi_bus_initialize(SPI2_HOST, &bus, SPI_DMA_CH_AUTO) != ESP_OK) return false;
  eth_mac_config_t mac = ETH_MAC_DEFAULT_CONFIG();
  eth_phy_config_t phy = ETH_PHY_DEFAULT_CONFIG();
  phy.phy_addr = 1;
  phy.reset_gpio_num = -1;
  eth_w5500_config_t chip = ETH_W5500_DEFAULT_CONFIG(SPI2_HOST, &device);
#if ESP_IDF_VERSION >= ESP_IDF_VERSION_VAL(6, 0, 0)
  chip.base.int_gpio_num = pins[PIN_INT];
  chip.base.poll_period_ms = pins[PIN_INT] >= 0 ? 0 : POLL_MS;
#else
  chip.int_gpio_num = pins[PIN_INT];
  chip.poll_period_ms = pins[PIN_INT] >= 0 ? 0 : POLL_MS;
#endif
  esp_eth_mac_t *new_mac = esp_eth_mac_new_w5500(&chip, &mac);
  esp_eth_phy_t *new_phy = esp_eth_phy_new_w5500(&phy);
  if (new_mac == NULL || new_phy == NULL) return false;
  const esp_eth_config_t config = ETH_DEFAULT_CONFIG(new_mac, new_phy);
  if (esp_eth_driver_install(&config, &driver) != ESP_OK) return false;
  /* A W5500 has no built-in MAC address. */
  uint8_t address[6];
  return esp_read_mac(address, ESP_MAC_ETH) == ESP_OK && esp_eth_ioctl(driver, ETH_CMD_S_MAC_ADDR, address) == ESP_OK;
}
#endif

bool aiot_esp32_network_start(const aiot_esp32_identity *identity) {
  if (esp_netif_init() != ESP_OK || esp_event_loop_create_default() != ESP_OK) return false;
  const esp_netif_config_t kind = ESP_NETIF_DEFAULT_ETH();
  esp_netif_t *interface = esp_netif_new(&kind);
  if (interface == NULL || !open_driver()) return false;
  char name[AIOT_HOSTNAME_BYTES];
  aiot_hostname(identity->name, name);
  esp_netif_set_hostname(interface, name);
  return esp_event_handler_instance_register(ETH_EVENT, ESP_EVENT_ANY_ID, on_event, NULL, NULL) == ESP_OK &&
         esp_event_handler_instance_register(IP_EVENT, ESP_EVENT_ANY_ID, on_event, NULL, NULL) == ESP_OK &&
         esp_netif_attach(interface, esp_eth_new_netif_glue(driver)) == ESP_OK && esp_eth_start(driver) == ESP_OK;
}

/* The driver detects cable changes automatically. */
void aiot_esp32_network_step(uint64_t now_ms) { (void)now_ms; }

int aiot_esp32_network_rssi(void) { return 0; }

bool aiot_esp32_network_joined(void) { return atomic_load(&joined); }

void aiot_esp32_network_stop(void) {
  if (driver != NULL) esp_eth_stop(driver);
  atomic_store(&joined, false);
}
#endif
