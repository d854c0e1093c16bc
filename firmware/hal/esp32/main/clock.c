#include <sys/time.h>

#include "esp32.h"
#include "esp_sntp.h"
#include "esp_timer.h"

/* 2024: before it nobody has set the clock, which begins at 1970. */
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

const aiot_clock aiot_esp32_clock = {NULL, uptime_ms, now_ms, uptime_us};

void aiot_esp32_clock_start(const char *server) {
  esp_sntp_setoperatingmode(ESP_SNTP_OPMODE_POLL);
  esp_sntp_setservername(0, server);
  esp_sntp_init();
}
