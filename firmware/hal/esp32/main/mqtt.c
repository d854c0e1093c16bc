/*
 * MQTT with esp-mqtt. It uses mutual TLS, except for the guide's boards. Its task calls on_event, which passes everything through
 * two queues, so that only the core's loop accesses the rest. Accepted QoS 1 messages are stored here until the broker
 * acknowledges them, because esp-mqtt drops messages after half a minute.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "esp32.h"
#include "esp_random.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "freertos/task.h"
#include "mqtt_client.h"

/*
 * Unacknowledged messages are stored twice, here and in esp-mqtt's outbox: up to HELD bytes, or a single longer message. STACK:
 * 5,684 bytes were used in a handshake; a fifth is added as a reserve. Messages longer than BUFFER are split into pieces. PENDING: the core's
 * window, presence, and a report.
 */
enum { PENDING = 18, INBOX = 8, LONGEST_MESSAGE = 4096, HELD = 1024, BUFFER = 1024, AGAIN_MS = 45000, STACK = 6912, LASTED_MS = 60000 };

typedef struct {
  char *topic;
  uint8_t *payload;
  size_t bytes;
} message;

typedef struct {
  uint32_t number;
  int id;
  char *topic;
  char *payload;
  size_t bytes;
  bool retain;
  uint64_t sent_ms;
} pending;

static struct {
  aiot_mqtt port;
  esp_mqtt_client_handle_t client;
  bool started;
  atomic_uint connection;
  /* Subscriptions of this connection that the broker has not confirmed, -1 before the first one, and when the last one was requested. */
  atomic_int unconfirmed;
  uint64_t subscribed_ms;
  /* Number of ended attempts and connections. The client's task counts them, and the loop evaluates the count. */
  atomic_uint ends;
  unsigned ends_seen;
  bool waiting_to_connect;
  uint64_t connected_ms;
  aiot_backoff backoff;
  unsigned connections;
  QueueHandle_t inbox;
  QueueHandle_t acknowledgments;
  /* A message that arrives in pieces. */
  message growing;
  /* The message that was returned last. */
  message given;
  uint32_t numbers;
  pending waiting[PENDING];
} self;

static void forget(message *what) {
  free(what->topic);
  free(what->payload);
  memset(what, 0, sizeof *what);
}

/* Pieces of one message arrive in order. */
static void on_data(const esp_mqtt_event_t *event) {
  if (event->current_data_offset == 0) {
    forget(&self.growing);
    if (event->total_data_len < 0 || event->total_data_len > LONGEST_MESSAGE || event->topic_len <= 0) return;
    self.growing.topic = malloc((size_t)event->topic_len + 1);
    self.growing.payload = malloc((size_t)event->total_data_len + 1);
    if (self.growing.topic == NULL || self.growing.payload == NULL) {
      forget(&self.growing);
      return;
    }
    memcpy(self.growing.topic, event->topic, (size_t)event->topic_len);
    self.growing.topic[event->topic_len] = '\0';
  }
  if (self.growing.topic == NULL || (size_t)event->current_data_offset != self.growing.bytes) return;
  if (event->data_len > 0) memcpy(self.growing.payload + self.growing.bytes, event->data, (size_t)event->data_len);
  self.growing.bytes += (size_t)event->data_len;
  if (self.growing.bytes < (size_t)event->total_data_len) return;
  /* Without room, the oldest message is dropped. The device reads the queue in every step, and the platform sends few messages. */
  message oldest;
  if (uxQueueSpacesAvailable(self.inbox) == 0 && xQueueReceive(self.inbox, &oldest, 0) == pdTRUE) forget(&oldest);
  if (xQueueSend(self.inbox, &self.growing, 0) == pdTRUE) memset(&self.growing, 0, sizeof self.growing);
  else forget(&self.growing);
}

static void on_event(void *context, esp_event_base_t base, int32_t id, void *data) {
  (void)context;
  (void)base;
  const esp_mqtt_event_t *event = data;
  if (id == MQTT_EVENT_CONNECTED) {
    atomic_store(&self.unconfirmed, -1);
    atomic_store(&self.connection, ++self.connections);
  }
  else if (id == MQTT_EVENT_DISCONNECTED) {
    atomic_store(&self.connection, 0);
    atomic_fetch_add(&self.ends, 1);
  }
  else if (id == MQTT_EVENT_SUBSCRIBED) {
    if (event->error_handle == NULL || event->error_handle->error_type != MQTT_ERROR_TYPE_SUBSCRIBE_FAILED) atomic_fetch_sub(&self.unconfirmed, 1);
    /* Without its subscriptions, for example on an overloaded broker, the board would never be offered an update. It tries again later. */
    else esp_mqtt_client_disconnect(self.client);
  }
  else if (id == MQTT_EVENT_PUBLISHED) xQueueSend(self.acknowledgments, &event->msg_id, 0);
  else if (id == MQTT_EVENT_DATA) on_data(event);
}

static uint64_t now_ms(void) { return aiot_esp32_clock.uptime_ms(NULL); }

/* The client's own reconnection is disabled, because it would retry every five seconds on every board that lost the broker. */
static void reconnect(void) {
  const unsigned ends = atomic_load(&self.ends);
  if (ends != self.ends_seen) {
    self.ends_seen = ends;
    self.waiting_to_connect = true;
    /* A connection that was accepted and then closed counts as a failure. */
    if (self.connected_ms != 0 && now_ms() - self.connected_ms >= LASTED_MS) aiot_backoff_lost(&self.backoff, now_ms(), esp_random());
    else aiot_backoff_failed(&self.backoff, now_ms(), esp_random());
    self.connected_ms = 0;
  }
  if (!self.waiting_to_connect || !aiot_esp32_network_joined() || !aiot_backoff_due(&self.backoff, now_ms())) return;
  self.waiting_to_connect = esp_mqtt_client_reconnect(self.client) != ESP_OK;
}

static uint32_t connection(void *context) {
  (void)context;
  /* The client is started once there is a network. Earlier attempts would only fail and delay the next one. */
  if (!self.started && aiot_esp32_network_joined()) self.started = esp_mqtt_client_start(self.client) == ESP_OK;
  else if (self.started) reconnect();
  const uint32_t current = atomic_load(&self.connection);
  if (current != 0 && self.connected_ms == 0) self.connected_ms = now_ms();
  return current;
}

/* The client's task resets the count at each connection, and counts confirmations. */
static void count_subscription(int change) {
  int before = atomic_load(&self.unconfirmed);
  int after;
  do {
    after = change < 0 ? (before <= 1 ? -1 : before - 1) : (before < 0 ? 1 : before + 1);
  } while (!atomic_compare_exchange_weak(&self.unconfirmed, &before, after));
}

static bool subscribe(void *context, const char *filter, int qos) {
  (void)context;
  /* Counted first, because the client's task may handle the confirmation before this function returns. */
  count_subscription(1);
  self.subscribed_ms = now_ms();
  if (esp_mqtt_client_subscribe_single(self.client, filter, qos) >= 0) return true;
  count_subscription(-1);
  return false;
}

/* Whether the board is connected with all its subscriptions. Before that, it must not say that it is online. */
static bool is_ready(void) {
  if (atomic_load(&self.connection) == 0) return false;
  const int unconfirmed = atomic_load(&self.unconfirmed);
  if (unconfirmed == 0) return true;
  if (unconfirmed > 0 && now_ms() - self.subscribed_ms >= AGAIN_MS) {
    self.subscribed_ms = now_ms();
    esp_mqtt_client_disconnect(self.client);
  }
  return false;
}

static int enqueue(const pending *what, int qos) {
  return esp_mqtt_client_enqueue(self.client, what->topic, what->payload, (int)what->bytes, qos, what->retain, true);
}

static void settle(pending *what) {
  free(what->topic);
  free(what->payload);
  memset(what, 0, sizeof *what);
}

/* Handles the broker's acknowledgments, and sends unacknowledged messages again. */
static void follow(void) {
  int id;
  while (xQueueReceive(self.acknowledgments, &id, 0) == pdTRUE) {
    for (size_t i = 0; i < PENDING; i++) {
      if (self.waiting[i].number != 0 && self.waiting[i].id == id) settle(&self.waiting[i]);
    }
  }
  if (!is_ready()) return;
  for (size_t i = 0; i < PENDING; i++) {
    pending *what = &self.waiting[i];
    if (what->number == 0 || now_ms() - what->sent_ms < AGAIN_MS) continue;
    what->sent_ms = now_ms();
    what->id = enqueue(what, 1);
  }
}

/* Whether there is room for another message. Messages that are not accepted wait in the core's queue. */
static bool has_room(size_t bytes) {
  size_t held = 0;
  for (size_t i = 0; i < PENDING; i++) {
    if (self.waiting[i].number != 0) held += self.waiting[i].bytes;
  }
  return held == 0 || held + bytes <= HELD;
}

static uint32_t publish(void *context, const char *topic, const void *payload, size_t bytes, int qos, bool retain) {
  (void)context;
  if (!is_ready()) return 0;
  follow();
  if (++self.numbers == 0) self.numbers = 1;
  if (qos == 0) {
    const pending once = {.topic = (char *)(uintptr_t)topic, .payload = (char *)(uintptr_t)payload, .bytes = bytes, .retain = retain};
    return enqueue(&once, 0) < 0 ? 0 : self.numbers;
  }
  pending *free_one = NULL;
  for (size_t i = 0; i < PENDING && free_one == NULL; i++) {
    if (self.waiting[i].number == 0) free_one = &self.waiting[i];
  }
  if (free_one == NULL || !has_room(bytes)) return 0;
  /* Even an empty payload needs a pointer: if the length is 0, esp-mqtt determines it with strlen. */
  *free_one = (pending){.topic = strdup(topic), .payload = malloc(bytes + 1), .bytes = bytes, .retain = retain, .sent_ms = now_ms()};
  if (free_one->topic == NULL || free_one->payload == NULL) {
    settle(free_one);
    return 0;
  }
  memcpy(free_one->payload, payload, bytes);
  free_one->payload[bytes] = '\0';
  free_one->id = enqueue(free_one, 1);
  if (free_one->id < 0) {
    settle(free_one);
    return 0;
  }
  free_one->number = self.numbers;
  return self.numbers;
}

static bool acknowledged(void *context, uint32_t number) {
  (void)context;
  follow();
  for (size_t i = 0; i < PENDING; i++) {
    if (self.waiting[i].number == number) return false;
  }
  return true;
}

static bool receive(void *context, uint32_t wait_ms, const char **topic, const uint8_t **payload, size_t *bytes) {
  (void)context;
  forget(&self.given);
  follow();
  /* If there is something to wait for, waits for at least one tick, so that tasks of lower priority can run. */
  const TickType_t ticks = wait_ms == 0 ? 0 : pdMS_TO_TICKS(wait_ms) + 1;
  if (xQueueReceive(self.inbox, &self.given, ticks) != pdTRUE) return false;
  *topic = self.given.topic;
  *payload = self.given.payload;
  *bytes = self.given.bytes;
  return true;
}

static esp_mqtt_client_config_t config;

void aiot_esp32_mqtt_keep_alive(int seconds) {
  if (config.session.keepalive == seconds) return;
  config.session.keepalive = seconds;
  if (self.started) esp_mqtt_client_stop(self.client);
  /* The next call of `connection` restarts the client. */
  self.started = false;
  self.waiting_to_connect = false;
  self.ends_seen = atomic_load(&self.ends);
  self.connected_ms = 0;
  atomic_store(&self.connection, 0);
  esp_mqtt_set_config(self.client, &config);
}

static const aiot_mqtt *open_client(void) {
  config.network.disable_auto_reconnect = true;
  config.network.timeout_ms = 10000;
  config.task.stack_size = STACK;
  config.buffer.size = BUFFER;
  self.inbox = xQueueCreate(INBOX, sizeof(message));
  /*
   * There is space for more acknowledgments than pending messages, because a message that is sent again may be acknowledged
   * twice.
   */
  self.acknowledgments = xQueueCreate(2 * PENDING, sizeof(int));
  self.client = esp_mqtt_client_init(&config);
  if (self.inbox == NULL || self.acknowledgments == NULL || self.client == NULL) return NULL;
  if (esp_mqtt_client_register_event(self.client, MQTT_EVENT_ANY, on_event, NULL) != ESP_OK) return NULL;
  self.port = (aiot_mqtt){&self, connection, subscribe, publish, acknowledged, receive};
  return &self.port;
}

const aiot_mqtt *aiot_esp32_mqtt_open(const aiot_esp32_identity *identity, const char *will_topic, const void *will, size_t will_bytes) {
  config = (esp_mqtt_client_config_t){
      .broker.address.uri = identity->mqtts,
      /* Only the platform's CA is accepted, and the certificate must be for the requested name or address. */
      .broker.verification.certificate = identity->ca,
      .credentials.client_id = identity->name,
      .credentials.authentication.certificate = identity->certificate,
      .credentials.authentication.key = identity->key,
      .session.last_will.topic = will_topic,
      .session.last_will.msg = will,
      .session.last_will.msg_len = (int)will_bytes,
      .session.last_will.qos = 1,
      .session.last_will.retain = 1,
      .session.keepalive = 30,
  };
  return open_client();
}

const aiot_mqtt *aiot_esp32_mqtt_open_plain(const char *uri, const char *client_id, int keep_alive_s) {
  config = (esp_mqtt_client_config_t){
      .broker.address.uri = uri,
      .credentials.client_id = client_id,
      .session.keepalive = keep_alive_s,
  };
  return open_client();
}
