/*
 * Downloads by esp_http_client in a task of its own, for it waits as long as a handshake takes: what it reads goes through a stream buffer, and the
 * core's loop waits 50 ms at most.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "esp32.h"
#include "esp_http_client.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "freertos/stream_buffer.h"
#include "freertos/task.h"

enum { WAIT_MS = 50, BUFFER = 4096, PIECE = 1024, STACK = 8192, TIMEOUT_MS = 10000, URL = 512 };

typedef struct {
  unsigned number;
  uint64_t from;
  char url[URL];
} request;

static struct {
  aiot_http port;
  const aiot_esp32_identity *identity;
  /* The newest request. */
  QueueHandle_t asked;
  StreamBufferHandle_t body;
  /* The request that is wanted (0 = none), the one that is served, and how it ended (0 = not yet). */
  atomic_uint wanted;
  atomic_uint serving;
  atomic_int ended;
  unsigned requests;
  /* Content-Range of the answer. */
  char range[64];
} self;

static esp_err_t on_event(esp_http_client_event_t *event) {
  if (event->event_id == HTTP_EVENT_ON_HEADER && strcasecmp(event->header_key, "content-range") == 0) {
    snprintf(self.range, sizeof self.range, "%s", event->header_value);
  }
  return ESP_OK;
}

static bool still(unsigned number) { return atomic_load(&self.wanted) == number; }

/* Hands bytes over as there is room for them. False: nobody wants them any more. */
static bool give(unsigned number, const char *data, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    if (!still(number)) return false;
    done += xStreamBufferSend(self.body, data + done, bytes - done, pdMS_TO_TICKS(WAIT_MS));
  }
  return true;
}

static int32_t read_body(esp_http_client_handle_t client, unsigned number, uint64_t skip) {
  static char piece[PIECE];
  while (still(number)) {
    const int got = esp_http_client_read(client, piece, sizeof piece);
    if (got < 0) return AIOT_HTTP_BROKEN;
    if (got == 0) return esp_http_client_is_complete_data_received(client) ? AIOT_HTTP_END : AIOT_HTTP_BROKEN;
    const size_t left_out = skip < (uint64_t)got ? (size_t)skip : (size_t)got;
    skip -= left_out;
    if (!give(number, piece + left_out, (size_t)got - left_out)) break;
  }
  return AIOT_HTTP_BROKEN;
}

static int32_t download(const request *what) {
  const esp_http_client_config_t config = {
      .url = what->url,
      .cert_pem = self.identity->ca,
      .client_cert_pem = self.identity->certificate,
      .client_key_pem = self.identity->key,
      .event_handler = on_event,
      .timeout_ms = TIMEOUT_MS,
      /* Wherever it leads, it would not be the platform. */
      .disable_auto_redirect = true,
      .buffer_size = PIECE,
      .buffer_size_tx = URL + 256,
  };
  esp_http_client_handle_t client = esp_http_client_init(&config);
  if (client == NULL) return AIOT_HTTP_BROKEN;
  self.range[0] = '\0';
  char range[40];
  snprintf(range, sizeof range, "bytes=%llu-", (unsigned long long)what->from);
  bool asked = what->from == 0 || esp_http_client_set_header(client, "Range", range) == ESP_OK;
  asked = asked && esp_http_client_open(client, 0) == ESP_OK && esp_http_client_fetch_headers(client) >= 0;
  uint64_t skip = 0;
  int32_t result = AIOT_HTTP_BROKEN;
  if (asked) {
    const char *header = self.range[0] == '\0' ? NULL : self.range;
    result = aiot_download_answer(esp_http_client_get_status_code(client), header, what->from, &skip);
    if (result == 0) result = read_body(client, what->number, skip);
  }
  esp_http_client_cleanup(client);
  return result;
}

static void serve(void *context) {
  (void)context;
  static request what;
  for (;;) {
    xQueueReceive(self.asked, &what, portMAX_DELAY);
    if (!still(what.number)) continue;
    xStreamBufferReset(self.body);
    atomic_store(&self.ended, 0);
    atomic_store(&self.serving, what.number);
    atomic_store(&self.ended, download(&what));
  }
}

static void close_line(void *context) {
  (void)context;
  atomic_store(&self.wanted, 0);
}

static bool open_line(void *context, const char *path, uint64_t from) {
  (void)context;
  close_line(NULL);
  if (!aiot_esp32_wifi_joined() || !aiot_download_path(path)) return false;
  static request what;
  what.from = from;
  const int bytes = snprintf(what.url, sizeof what.url, "%s%s", self.identity->http, path);
  if (bytes < 0 || (size_t)bytes >= sizeof what.url) return false;
  if (++self.requests == 0) self.requests = 1;
  what.number = self.requests;
  atomic_store(&self.wanted, what.number);
  /* One that is still being given up is served to its end first; reading says "none yet" meanwhile. */
  return xQueueOverwrite(self.asked, &what) == pdTRUE;
}

static int32_t read_line(void *context, void *out, size_t bytes) {
  (void)context;
  const unsigned number = atomic_load(&self.wanted);
  if (number == 0) return AIOT_HTTP_BROKEN;
  if (atomic_load(&self.serving) != number) {
    vTaskDelay(pdMS_TO_TICKS(WAIT_MS));
    return 0;
  }
  /* Looked at first: what was written before it ended is still to be read. */
  const int ended = atomic_load(&self.ended);
  const size_t got = xStreamBufferReceive(self.body, out, bytes, ended == 0 ? pdMS_TO_TICKS(WAIT_MS) : 0);
  return got > 0 ? (int32_t)got : ended;
}

const aiot_http *aiot_esp32_http_open(const aiot_esp32_identity *identity) {
  self.identity = identity;
  self.asked = xQueueCreate(1, sizeof(request));
  self.body = xStreamBufferCreate(BUFFER, 1);
  if (self.asked == NULL || self.body == NULL) return NULL;
  if (xTaskCreate(serve, "aiot-http", STACK, NULL, 4, NULL) != pdPASS) return NULL;
  self.port = (aiot_http){&self, open_line, read_line, close_line};
  return &self.port;
}
