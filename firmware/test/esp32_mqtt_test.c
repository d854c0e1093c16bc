/*
 * Tests hal/esp32's MQTT on a simulated vendor client: an accepted message is kept until the broker has acknowledged it, even if
 * the client drops it.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "esp32.h"
#include "esp_random.h"
#include "fake_queue.h"
#include "mqtt_client.h"

/* Each client that is opened gets two queues. */
QueueHandle_t xQueueCreate(UBaseType_t length, UBaseType_t bytes) {
  static struct QueueDefinition queues[4];
  static uint8_t items[4][2048];
  static size_t made;
  if (made == 4 || (size_t)length * bytes > sizeof items[0]) return NULL;
  queues[made] = (struct QueueDefinition){.length = length, .bytes = bytes, .items = items[made]};
  return &queues[made++];
}

/* Simulates the vendor's client, the network and the clock. */
static struct {
  esp_event_handler_t handler;
  bool joined, started, full;
  uint64_t now_ms;
  int ids;
  size_t enqueued;
  char topic[64], payload[64];
  int bytes, qos, retain, keep_alive;
  esp_mqtt_client_config_t config;
  size_t reconnects, disconnects;
  bool busy;
  uint32_t random;
} sim;

esp_mqtt_client_handle_t esp_mqtt_client_init(const esp_mqtt_client_config_t *config) {
  sim.config = *config;
  const bool secret = strncmp(config->broker.address.uri, "mqtts://", 8) == 0;
  const bool known = config->broker.verification.certificate != NULL && config->credentials.authentication.key != NULL;
  return secret == known ? (esp_mqtt_client_handle_t)(void *)&sim : NULL;
}
esp_err_t esp_mqtt_client_register_event(esp_mqtt_client_handle_t client, esp_mqtt_event_id_t event, esp_event_handler_t handler, void *context) {
  (void)client, (void)event, (void)context;
  sim.handler = handler;
  return ESP_OK;
}
esp_err_t esp_mqtt_set_config(esp_mqtt_client_handle_t client, const esp_mqtt_client_config_t *config) {
  (void)client;
  sim.keep_alive = config->session.keepalive;
  /* Everything else must be unchanged. */
  return config->broker.verification.certificate != NULL && config->session.last_will.topic != NULL ? ESP_OK : 1;
}
esp_err_t esp_mqtt_client_stop(esp_mqtt_client_handle_t client) {
  (void)client;
  sim.started = false;
  return ESP_OK;
}
esp_err_t esp_mqtt_client_reconnect(esp_mqtt_client_handle_t client) {
  (void)client;
  if (sim.busy) return 1;
  sim.reconnects++;
  return ESP_OK;
}
esp_err_t esp_mqtt_client_disconnect(esp_mqtt_client_handle_t client) {
  (void)client;
  sim.disconnects++;
  return ESP_OK;
}
uint32_t esp_random(void) { return sim.random; }
esp_err_t esp_mqtt_client_start(esp_mqtt_client_handle_t client) {
  (void)client;
  sim.started = true;
  return ESP_OK;
}
int esp_mqtt_client_subscribe_single(esp_mqtt_client_handle_t client, const char *topic, int qos) {
  (void)client, (void)qos;
  return topic[0] == '\0' ? -1 : 1;
}
int esp_mqtt_client_enqueue(esp_mqtt_client_handle_t client, const char *topic, const char *data, int bytes, int qos, int retain, bool store) {
  (void)client, (void)store;
  if (sim.full) return -2;
  snprintf(sim.topic, sizeof sim.topic, "%s", topic);
  memcpy(sim.payload, data, (size_t)bytes);
  sim.bytes = bytes, sim.qos = qos, sim.retain = retain;
  sim.enqueued++;
  return qos == 0 ? 0 : ++sim.ids;
}
bool aiot_esp32_network_joined(void) { return sim.joined; }
static uint64_t now(void *context) { return (void)context, sim.now_ms; }
const aiot_clock aiot_esp32_clock = {NULL, now, NULL, NULL};

static void happen(esp_mqtt_event_id_t id, const esp_mqtt_event_t *event) {
  esp_mqtt_event_t copy = event == NULL ? (esp_mqtt_event_t){.event_id = id} : *event;
  sim.handler(NULL, "MQTT_EVENTS", id, &copy);
}

/* The broker's answer to a subscription. */
static void confirm(bool accepted) {
  esp_mqtt_error_codes_t error = {accepted ? MQTT_ERROR_TYPE_NONE : MQTT_ERROR_TYPE_SUBSCRIBE_FAILED};
  const esp_mqtt_event_t event = {.error_handle = &error};
  happen(MQTT_EVENT_SUBSCRIBED, &event);
}

static void acknowledge(int id) {
  const esp_mqtt_event_t event = {.msg_id = id};
  happen(MQTT_EVENT_PUBLISHED, &event);
}

/* Delivers a message in pieces of this size. Only the first piece contains the topic. */
static void arrive(const char *topic, const char *payload, size_t piece) {
  const size_t all = strlen(payload);
  char text[64], name[64];
  snprintf(text, sizeof text, "%s", payload);
  snprintf(name, sizeof name, "%s", topic);
  size_t at = 0;
  do {
    const size_t part = all - at < piece ? all - at : piece;
    const esp_mqtt_event_t event = {.data = text + at, .data_len = (int)part, .total_data_len = (int)all, .current_data_offset = (int)at,
                                    .topic = at == 0 ? name : NULL, .topic_len = at == 0 ? (int)strlen(topic) : 0};
    happen(MQTT_EVENT_DATA, &event);
    at += part;
  } while (at < all);
}

static void test_publishing(checks *c, const aiot_mqtt *mqtt) {
  check_at(c, "mqtt", "does not start before the network", 0, mqtt->connection(mqtt->context) == 0 && !sim.started);
  sim.joined = true;
  check_at(c, "mqtt", "starts with the network", 0, mqtt->connection(mqtt->context) == 0 && sim.started);
  check_at(c, "mqtt", "accepts nothing without a connection", 0, mqtt->publish(mqtt->context, "t", "x", 1, 1, false) == 0);
  happen(MQTT_EVENT_CONNECTED, NULL);
  check_at(c, "mqtt", "connected", 0, mqtt->connection(mqtt->context) == 1 && mqtt->subscribe(mqtt->context, "a/b", 1) && !mqtt->subscribe(mqtt->context, "", 1));
  check_at(c, "mqtt", "accepts nothing before the subscription is confirmed", 0, mqtt->publish(mqtt->context, "t", "x", 1, 1, false) == 0 && mqtt->publish(mqtt->context, "t", "x", 1, 0, false) == 0);
  confirm(true);
  const uint32_t first = mqtt->publish(mqtt->context, "aiot/v1/p/telemetry/m", "hello", 5, 1, true);
  check_at(c, "mqtt", "published", 0, first != 0 && strcmp(sim.topic, "aiot/v1/p/telemetry/m") == 0 && sim.bytes == 5 && memcmp(sim.payload, "hello", 5) == 0 && sim.qos == 1 && sim.retain == 1);
  check_at(c, "mqtt", "not acknowledged yet", 0, !mqtt->acknowledged(mqtt->context, first));
  /*
   * The connection is lost and the client drops the message. It is sent again after a while, but only once there is a connection.
   */
  happen(MQTT_EVENT_DISCONNECTED, NULL);
  sim.now_ms += 50000;
  const size_t before = sim.enqueued;
  check_at(c, "mqtt", "waits for the connection", 0, !mqtt->acknowledged(mqtt->context, first) && sim.enqueued == before && mqtt->connection(mqtt->context) == 0);
  happen(MQTT_EVENT_CONNECTED, NULL);
  check_at(c, "mqtt", "another connection", 0, mqtt->connection(mqtt->context) == 2);
  check_at(c, "mqtt", "waits for its subscription", 0, !mqtt->acknowledged(mqtt->context, first) && sim.enqueued == before);
  check_at(c, "mqtt", "subscribes again", 0, mqtt->subscribe(mqtt->context, "a/b", 1) && sim.enqueued == before);
  confirm(true);
  check_at(c, "mqtt", "sent again", 0, !mqtt->acknowledged(mqtt->context, first) && sim.enqueued == before + 1 && memcmp(sim.payload, "hello", 5) == 0);
  acknowledge(sim.ids - 1);
  check_at(c, "mqtt", "an acknowledgment of a dropped message is ignored", 0, !mqtt->acknowledged(mqtt->context, first));
  acknowledge(sim.ids);
  check_at(c, "mqtt", "acknowledged", 0, mqtt->acknowledged(mqtt->context, first));
  /* Accepts no more messages than it can store. Accepts messages again when there is room. */
  uint32_t numbers[40];
  size_t taken = 0;
  while (taken < 40 && (numbers[taken] = mqtt->publish(mqtt->context, "t", "x", 1, 1, false)) != 0) taken++;
  check_at(c, "mqtt", "bounded", taken, taken >= AIOT_WINDOW && taken < 40);
  acknowledge(sim.ids - (int)taken + 1);
  check_at(c, "mqtt", "room again", 0, mqtt->acknowledged(mqtt->context, numbers[0]) && !mqtt->acknowledged(mqtt->context, numbers[1]) && mqtt->publish(mqtt->context, "t", "x", 1, 1, false) != 0);
  for (int id = sim.ids - (int)taken; id <= sim.ids; id++) acknowledge(id);
  bool all = true;
  for (size_t i = 0; i < taken; i++) all = mqtt->acknowledged(mqtt->context, numbers[i]) && all;
  check_at(c, "mqtt", "all acknowledged", taken, all);
  sim.full = true;
  check_at(c, "mqtt", "a full client", 0, mqtt->publish(mqtt->context, "t", "x", 1, 1, false) == 0 && mqtt->publish(mqtt->context, "t", "x", 1, 0, false) == 0);
  sim.full = false;
  check_at(c, "mqtt", "QoS 0 is not stored", 0, mqtt->acknowledged(mqtt->context, mqtt->publish(mqtt->context, "t", "x", 1, 0, false)) && sim.qos == 0);
}

static void test_receiving(checks *c, const aiot_mqtt *mqtt) {
  const char *topic;
  const uint8_t *payload;
  size_t bytes;
  check_at(c, "mqtt", "no message yet", 0, !mqtt->receive(mqtt->context, 0, &topic, &payload, &bytes));
  for (size_t piece = 1; piece < 20; piece++) {
    arrive("aiot/v1/p/desired", "{\"rollout\":\"r\"}", piece);
    check_at(c, "mqtt", "received", piece, mqtt->receive(mqtt->context, 20, &topic, &payload, &bytes) && strcmp(topic, "aiot/v1/p/desired") == 0 && bytes == 15 && memcmp(payload, "{\"rollout\":\"r\"}", 15) == 0);
  }
  arrive("t", "", 5);
  check_at(c, "mqtt", "an empty message", 0, mqtt->receive(mqtt->context, 0, &topic, &payload, &bytes) && bytes == 0);
  /* A piece of a message whose start is missing, and a message that is too long, are dropped. */
  char text[] = "xyz";
  const esp_mqtt_event_t lost = {.data = text, .data_len = 3, .total_data_len = 9, .current_data_offset = 3};
  happen(MQTT_EVENT_DATA, &lost);
  const esp_mqtt_event_t large = {.data = text, .data_len = 3, .total_data_len = 1000000, .topic = text, .topic_len = 1};
  happen(MQTT_EVENT_DATA, &large);
  check_at(c, "mqtt", "invalid pieces are dropped", 0, !mqtt->receive(mqtt->context, 0, &topic, &payload, &bytes));
  /* If there are too many messages, the last ones are kept. */
  char number[16];
  for (int i = 0; i < 30; i++) {
    snprintf(number, sizeof number, "%d", i);
    arrive("t", number, 8);
  }
  int count = 0;
  char newest[4] = "";
  while (mqtt->receive(mqtt->context, 0, &topic, &payload, &bytes)) {
    count++;
    snprintf(newest, sizeof newest, "%.*s", (int)bytes, (const char *)payload);
  }
  check_at(c, "mqtt", "the newest messages are kept", (size_t)count, count == 8 && strcmp(newest, "29") == 0);
}

/*
 * A changed keep-alive interval in the configuration opens the connection again; an unchanged one does not. Accepted messages are
 * kept.
 */
static void test_keep_alive(checks *c, const aiot_mqtt *mqtt) {
  const uint32_t kept = mqtt->publish(mqtt->context, "t", "kept", 4, 1, false);
  aiot_esp32_mqtt_keep_alive(30);
  check_at(c, "mqtt", "the same keep-alive", 0, sim.started && mqtt->connection(mqtt->context) != 0 && sim.keep_alive == 0);
  aiot_esp32_mqtt_keep_alive(120);
  check_at(c, "mqtt", "another keep-alive", 0, !sim.started && sim.keep_alive == 120);
  check_at(c, "mqtt", "restarts", 0, mqtt->connection(mqtt->context) == 0 && sim.started);
  happen(MQTT_EVENT_CONNECTED, NULL);
  check_at(c, "mqtt", "another connection", 0, mqtt->connection(mqtt->context) == 3 && mqtt->subscribe(mqtt->context, "a/b", 1));
  confirm(true);
  sim.now_ms += 50000;
  const size_t before = sim.enqueued;
  check_at(c, "mqtt", "sent again on the new connection", 0, !mqtt->acknowledged(mqtt->context, kept) && sim.enqueued > before);
}

/* Milliseconds until the next attempt, checked every 10 ms for up to two minutes. */
static uint64_t until_tried(const aiot_mqtt *mqtt) {
  const uint64_t start = sim.now_ms;
  const size_t before = sim.reconnects;
  while (sim.reconnects == before && sim.now_ms - start < 120000) {
    mqtt->connection(mqtt->context);
    sim.now_ms += 10;
  }
  return sim.now_ms - start;
}

/*
 * When a broker fails, boards that lose it at the same time reconnect at different times, and try less and less often while it is
 * down.
 */
static void test_reconnecting(checks *c, const aiot_mqtt *mqtt) {
  check_at(c, "mqtt", "the client does not reconnect on its own", 0, sim.config.network.disable_auto_reconnect);
  size_t tenth[10] = {0};
  for (size_t board = 0; board < 500; board++) {
    sim.random = (uint32_t)board * 2654435761u;
    happen(MQTT_EVENT_CONNECTED, NULL);
    mqtt->connection(mqtt->context);
    sim.now_ms += 61000;
    mqtt->connection(mqtt->context);
    happen(MQTT_EVENT_DISCONNECTED, NULL);
    const uint64_t wait = until_tried(mqtt);
    if (check_at(c, "mqtt", "within ten seconds", board, wait <= 10010)) tenth[wait / 1001]++;
  }
  for (size_t i = 0; i < 10; i++) check_at(c, "mqtt", "spread", i, tenth[i] >= 25 && tenth[i] <= 100);
  sim.random = 0;
  static const uint64_t waits[] = {8000, 16000, 32000, 60000, 60000};
  for (size_t i = 0; i < 5; i++) {
    happen(MQTT_EVENT_DISCONNECTED, NULL);
    const uint64_t wait = until_tried(mqtt);
    check_at(c, "mqtt", "growing delays", i, wait >= waits[i] && wait <= waits[i] + 20);
  }
  /* A connection that is accepted and then closed counts as a failure. */
  happen(MQTT_EVENT_CONNECTED, NULL);
  mqtt->connection(mqtt->context);
  happen(MQTT_EVENT_DISCONNECTED, NULL);
  check_at(c, "mqtt", "a closed connection is retried later", 0, until_tried(mqtt) >= 60000);
  /* Without Wi-Fi, nothing is attempted, and no message is lost while the client is not ready. */
  happen(MQTT_EVENT_DISCONNECTED, NULL);
  sim.joined = false;
  check_at(c, "mqtt", "no attempt without a network", 0, until_tried(mqtt) >= 120000);
  sim.joined = sim.busy = true;
  check_at(c, "mqtt", "no attempt while the client is busy", 0, until_tried(mqtt) >= 120000);
  sim.busy = false;
  check_at(c, "mqtt", "then immediately", 0, until_tried(mqtt) <= 20);
  happen(MQTT_EVENT_CONNECTED, NULL);
}

/* A board whose subscriptions the broker rejects, or does not confirm, connects again. Until then, it publishes nothing. */
static void test_subscribing(checks *c, const aiot_mqtt *mqtt) {
  const size_t before = sim.disconnects;
  check_at(c, "mqtt", "publishes nothing before it subscribes", 0, mqtt->publish(mqtt->context, "t", "x", 1, 0, false) == 0);
  check_at(c, "mqtt", "two subscriptions", 0, mqtt->subscribe(mqtt->context, "a", 1) && mqtt->subscribe(mqtt->context, "b", 1));
  confirm(true);
  check_at(c, "mqtt", "one is not enough", 0, mqtt->publish(mqtt->context, "t", "x", 1, 0, false) == 0 && sim.disconnects == before);
  confirm(false);
  check_at(c, "mqtt", "disconnects after a rejection", 0, sim.disconnects == before + 1 && mqtt->publish(mqtt->context, "t", "x", 1, 0, false) == 0);
  happen(MQTT_EVENT_DISCONNECTED, NULL);
  check_at(c, "mqtt", "tries again", 0, until_tried(mqtt) < 120000);
  happen(MQTT_EVENT_CONNECTED, NULL);
  mqtt->connection(mqtt->context);
  check_at(c, "mqtt", "subscribes again", 0, mqtt->subscribe(mqtt->context, "a", 1) && mqtt->publish(mqtt->context, "t", "x", 1, 0, false) == 0);
  sim.now_ms += 45000;
  check_at(c, "mqtt", "does not wait forever", 0, mqtt->publish(mqtt->context, "t", "x", 1, 0, false) == 0 && sim.disconnects == before + 2);
  happen(MQTT_EVENT_DISCONNECTED, NULL);
  happen(MQTT_EVENT_CONNECTED, NULL);
  check_at(c, "mqtt", "publishes on the next connection", 0, mqtt->subscribe(mqtt->context, "a", 1) && (confirm(true), mqtt->publish(mqtt->context, "t", "x", 1, 0, false) != 0));
}

/* A board that uses the guide's protocol connects without TLS and leaves no will. */
static void test_plain(checks *c) {
  const aiot_mqtt *mqtt = aiot_esp32_mqtt_open_plain("mqtt://guide:30005", "14333616", 15);
  if (!check_at(c, "mqtt", "opens without TLS", 0, mqtt != NULL)) return;
  check_at(c, "mqtt", "client id", 0, strcmp(sim.config.credentials.client_id, "14333616") == 0 && sim.config.session.last_will.topic == NULL && sim.config.session.keepalive == 15);
  happen(MQTT_EVENT_CONNECTED, NULL);
  check_at(c, "mqtt", "subscribes", 0, mqtt->subscribe(mqtt->context, "aiotsm/+", 0));
  confirm(true);
  check_at(c, "mqtt", "at most once", 0, mqtt->publish(mqtt->context, "t", "x", 1, 0, false) != 0 && sim.qos == 0 && sim.retain == 0);
}

int main(void) {
  checks c = {0, 0};
  static aiot_esp32_identity identity = {.name = "p", .mqtts = "mqtts://h:8883", .ca = "c", .certificate = "c", .key = "k"};
  const aiot_mqtt *mqtt = aiot_esp32_mqtt_open(&identity, "aiot/v1/p/presence", "{}", 2);
  if (check_at(&c, "mqtt", "opens", 0, mqtt != NULL)) {
    test_publishing(&c, mqtt);
    test_receiving(&c, mqtt);
    test_keep_alive(&c, mqtt);
    test_reconnecting(&c, mqtt);
    test_subscribing(&c, mqtt);
  }
  test_plain(&c);
  return checks_end(&c);
}
