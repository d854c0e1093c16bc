#include "esp32.h"
#include "esp_heap_caps.h"
#include "esp_log.h"
#include "esp_system.h"
#include "esp_task_wdt.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "settings.h"

void aiot_esp32_watch(void) {
  const esp_task_wdt_config_t config = {.timeout_ms = AIOT_WATCHDOG_MS, .idle_core_mask = 0, .trigger_panic = true};
  /* The system may have started the watchdog already; otherwise it is started here. */
  if (esp_task_wdt_reconfigure(&config) != ESP_OK) esp_task_wdt_init(&config);
  esp_task_wdt_add(NULL);
}

void aiot_esp32_give_up(const char *problem) {
  for (int i = 0; i < 60; i++) {
    ESP_LOGE("aiot", "%s", problem);
    vTaskDelay(pdMS_TO_TICKS(1000));
  }
  esp_restart();
}

/* Reasons that are not listed are unknown, because newer versions of ESP-IDF add some. */
const char *aiot_esp32_boot_reason(void) {
  switch (esp_reset_reason()) {
    case ESP_RST_POWERON:
    case ESP_RST_EXT:
      return "power-on";
    case ESP_RST_SW:
    case ESP_RST_DEEPSLEEP:
      return "software";
    case ESP_RST_PANIC:
      return "panic";
    case ESP_RST_INT_WDT:
    case ESP_RST_TASK_WDT:
    case ESP_RST_WDT:
      return "watchdog";
    case ESP_RST_BROWNOUT:
      return "brownout";
    default:
      return NULL;
  }
}

void aiot_esp32_vitals(void *context, aiot_vitals *vitals) {
  (void)context;
  vitals->boot = aiot_esp32_boot_reason();
  vitals->rssi_dbm = aiot_esp32_network_rssi();
}

void aiot_esp32_heap(void *context, aiot_heap *heap) {
  (void)context;
  heap->free = (uint32_t)heap_caps_get_free_size(MALLOC_CAP_8BIT);
  heap->largest = (uint32_t)heap_caps_get_largest_free_block(MALLOC_CAP_8BIT);
  heap->least = (uint32_t)heap_caps_get_minimum_free_size(MALLOC_CAP_8BIT);
}
