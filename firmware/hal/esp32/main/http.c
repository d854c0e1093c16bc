/*
 * Downloads with esp_http_client in a separate task, because the client blocks during the whole handshake. Received bytes pass
 * through a stream buffer, so that the core's loop waits at most 50 ms.
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
#include "settings.h"

/* STACK: 7,604 bytes were used; a fifth is added as a reserve. */
enum { WAIT_MS = 50, BUFFER = 1024, PIECE = 512, STACK = 9216, TIMEOUT_MS = 10000, FORM = 64 };
/* Maximum size of an address with a path. In paths of the guide's services, escaping may make a name three times as long. */
enum { URL = AIOT_COMPAT_GUIDE ? 960 : 160 + 256 };

typedef struct {
  unsigned number;
  uint64_t from;
  char url[URL];
  /* The POST's form; empty for a GET. */
  char form[FORM];
} request;

static struct {
  aiot_http port;
  /* "https://host:port" of the platform. */
  const char *platform;
  /* PEM texts: the server's CA, the client's certificate and its key; NULL = none. */
  const char *ca, *certificate, *key;
  /* Queue with the newest request. */
  QueueHandle_t asked;
  StreamBufferHandle_t body;
  /* Numbers of the requested download (0 = none) and of the one in progress, and its result (0 = none yet). */
  atomic_uint wanted;
  atomic_uint serving;
  atomic_int ended;
  /* HTTP status of the response; 0 = none. */
  atomic_int status;
  unsigned requests;
  /* Content-Range header of the response. */
  char range[64];
} self;

static esp_err_t on_event(esp_http_client_event_t *event) {
  if (event->event_id == HTTP_EVENT_ON_HEADER && strcasecmp(event->header_key, "content-range") == 0) {
    snprintf(self.range, sizeof self.range, "%s", event->header_value);
  }
  return ESP_OK;
}

static bool still(unsigned number) { return atomic_load(&self.wanted) == number; }

/* Passes bytes on as soon as there is room. False: the request was abandoned. */
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

/* Sends the request, and reads the header of the response. */
static bool send_request(esp_http_client_handle_t client, const request *what) {
  char range[40];
  const int bytes = (int)strlen(what->form);
  snprintf(range, sizeof range, "bytes=%llu-", (unsigned long long)what->from);
  if (what->from > 0 && esp_http_client_set_header(client, "Range", range) != ESP_OK) return false;
  if (bytes > 0 && esp_http_client_set_header(client, "Content-Type", "application/x-www-form-urlencoded") != ESP_OK) return false;
  if (esp_http_client_open(client, bytes) != ESP_OK) return false;
  if (bytes > 0 && esp_http_client_write(client, what->form, bytes) != bytes) return false;
  return esp_http_client_fetch_headers(client) >= 0;
}

static int32_t download(const request *what) {
  const esp_http_client_config_t config = {
      .url = what->url,
      .method = what->form[0] == '\0' ? HTTP_METHOD_GET : HTTP_METHOD_POST,
      .cert_pem = self.ca,
      .client_cert_pem = self.certificate,
      .client_key_pem = self.key,
      .event_handler = on_event,
      .timeout_ms = TIMEOUT_MS,
      /* Redirects are rejected, because they would lead away from the platform. */
      .disable_auto_redirect = true,
      .buffer_size = PIECE,
      .buffer_size_tx = URL + 256,
  };
  esp_http_client_handle_t client = esp_http_client_init(&config);
  if (client == NULL) return AIOT_HTTP_BROKEN;
  self.range[0] = '\0';
  const bool asked = send_request(client, what);
  uint64_t skip = 0;
  int32_t result = AIOT_HTTP_BROKEN;
  if (asked) {
    const char *header = self.range[0] == '\0' ? NULL : self.range;
    atomic_store(&self.status, esp_http_client_get_status_code(client));
    result = aiot_download_answer(atomic_load(&self.status), header, what->from, &skip);
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

static bool begin(const char *place, const char *path, uint64_t from, const char *form) {
  close_line(NULL);
  if (!aiot_esp32_network_joined() || !aiot_download_path(path)) return false;
  static request what;
  what.from = from;
  const int bytes = snprintf(what.url, sizeof what.url, "%s%s", place, path);
  const int written = snprintf(what.form, sizeof what.form, "%s", form);
  if (bytes < 0 || (size_t)bytes >= sizeof what.url || written < 0 || (size_t)written >= sizeof what.form) return false;
  if (++self.requests == 0) self.requests = 1;
  what.number = self.requests;
  atomic_store(&self.wanted, what.number);
  atomic_store(&self.status, 0);
  /* An abandoned request is finished first. Meanwhile, reading returns "none yet". */
  return xQueueOverwrite(self.asked, &what) == pdTRUE;
}

static bool open_line(void *context, const char *path, uint64_t from) {
  (void)context;
  return begin(self.platform, path, from, "");
}

static int32_t read_line(void *context, void *out, size_t bytes) {
  (void)context;
  const unsigned number = atomic_load(&self.wanted);
  if (number == 0) return AIOT_HTTP_BROKEN;
  if (atomic_load(&self.serving) != number) {
    vTaskDelay(pdMS_TO_TICKS(WAIT_MS));
    return 0;
  }
  /* The result is read before the body, because data that was written before the end must still be returned. */
  const int ended = atomic_load(&self.ended);
  const size_t got = xStreamBufferReceive(self.body, out, bytes, ended == 0 ? pdMS_TO_TICKS(WAIT_MS) : 0);
  return got > 0 ? (int32_t)got : ended;
}

static bool start(void) {
  self.asked = xQueueCreate(1, sizeof(request));
  self.body = xStreamBufferCreate(BUFFER, 1);
  return self.asked != NULL && self.body != NULL && xTaskCreate(serve, "aiot-http", STACK, NULL, 4, NULL) == pdPASS;
}

const aiot_http *aiot_esp32_http_open(const aiot_esp32_identity *identity) {
  self.platform = identity->http;
  self.ca = identity->ca;
  self.certificate = identity->certificate;
  self.key = identity->key;
  self.port = (aiot_http){&self, open_line, read_line, close_line};
  return start() ? &self.port : NULL;
}

/* The context is the service's address. Only one request is possible at a time. */
static bool ask(void *context, const char *path, const char *form) { return begin(context, path, 0, form == NULL ? "" : form); }

static int status_of(void *context) {
  (void)context;
  return atomic_load(&self.status);
}

bool aiot_esp32_services_open(const char *ca, aiot_guide_service *services, char *const *places, size_t count) {
  self.ca = ca;
  for (size_t i = 0; i < count; i++) services[i] = (aiot_guide_service){places[i], ask, read_line, close_line, status_of};
  return start();
}
