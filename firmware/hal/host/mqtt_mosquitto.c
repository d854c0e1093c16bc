#define _GNU_SOURCE
#include "mqtt_mosquitto.h"

#include <mosquitto.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "aiot/hal.h"
#include "identity.h"

/* Maximum time in which a broker must accept a connection, and confirm a subscription. */
#define CONNECTING_MS 10000
#define SUBSCRIBING_MS 45000

static void on_connect(struct mosquitto *client, void *context, int code) {
  (void)client;
  aiot_mqtt_mosquitto *mqtt = context;
  if (code == 0) {
    mqtt->connection = ++mqtt->connections;
    mqtt->unconfirmed = -1;
    mqtt->rejected = false;
    return;
  }
  snprintf(mqtt->problem, sizeof mqtt->problem, "the broker rejected the connection: %s", mosquitto_connack_string(code));
}

static void on_disconnect(struct mosquitto *client, void *context, int code) {
  (void)client;
  aiot_mqtt_mosquitto *mqtt = context;
  mqtt->connection = 0;
  if (code != 0) snprintf(mqtt->problem, sizeof mqtt->problem, "%s", mosquitto_strerror(code));
}

/*
 * Connected but without its subscriptions, for example on an overloaded broker, the device would never be offered an update. It
 * therefore connects again later.
 */
static void on_subscribe(struct mosquitto *client, void *context, int message, int count, const int *granted) {
  (void)client;
  (void)message;
  aiot_mqtt_mosquitto *mqtt = context;
  mqtt->unconfirmed--;
  for (int i = 0; i < count; i++) mqtt->rejected = mqtt->rejected || granted[i] > 2;
  if (mqtt->unconfirmed == 0 && !mqtt->rejected) mqtt->failures = 0;
}

static void on_publish(struct mosquitto *client, void *context, int message) {
  (void)client;
  aiot_mqtt_mosquitto *mqtt = context;
  mqtt->acknowledged[message / 8] |= (uint8_t)(1u << (message % 8));
  mqtt->failures = 0;
}

static void on_message(struct mosquitto *client, void *context, const struct mosquitto_message *message) {
  (void)client;
  aiot_mqtt_mosquitto *mqtt = context;
  /* If the inbox is full, the oldest message is dropped. The program reads the inbox in every step, and the platform sends few messages. */
  if (mqtt->count == AIOT_INBOX) {
    free(mqtt->inbox[mqtt->first].topic);
    free(mqtt->inbox[mqtt->first].payload);
    mqtt->first = (mqtt->first + 1) % AIOT_INBOX;
    mqtt->count--;
  }
  const size_t bytes = (size_t)message->payloadlen;
  char *topic = strdup(message->topic);
  uint8_t *payload = malloc(bytes + 1);
  if (topic == NULL || payload == NULL) abort();
  if (bytes > 0) memcpy(payload, message->payload, bytes);
  const size_t at = (mqtt->first + mqtt->count++) % AIOT_INBOX;
  mqtt->inbox[at].topic = topic;
  mqtt->inbox[at].payload = payload;
  mqtt->inbox[at].bytes = bytes;
}

static uint32_t connection(void *context) { return ((aiot_mqtt_mosquitto *)context)->connection; }

static bool subscribe(void *context, const char *filter, int qos) {
  aiot_mqtt_mosquitto *mqtt = context;
  if (mosquitto_subscribe(mqtt->client, NULL, filter, qos) != MOSQ_ERR_SUCCESS) return false;
  mqtt->unconfirmed = mqtt->unconfirmed < 0 ? 1 : mqtt->unconfirmed + 1;
  mqtt->subscribed_ms = aiot_hal_uptime_ms();
  return true;
}

static uint32_t publish(void *context, const char *topic, const void *payload, size_t bytes, int qos, bool retain) {
  aiot_mqtt_mosquitto *mqtt = context;
  int message = 0;
  /* Before all subscriptions are confirmed, the device must not say that it is online. */
  if (mqtt->connection == 0 || mqtt->unconfirmed != 0) return 0;
  if (mosquitto_publish(mqtt->client, &message, topic, (int)bytes, payload, qos, retain) != MOSQ_ERR_SUCCESS) return 0;
  mqtt->acknowledged[message / 8] &= (uint8_t) ~(1u << (message % 8));
  return (uint32_t)message;
}

static bool acknowledged(void *context, uint32_t message) {
  const aiot_mqtt_mosquitto *mqtt = context;
  return (mqtt->acknowledged[message / 8] >> (message % 8) & 1) != 0;
}

static bool is_down(const aiot_mqtt_mosquitto *mqtt) {
  return !mqtt->begun || mqtt->given_up || mosquitto_socket(mqtt->client) < 0;
}

/* Waits for the socket, or for other input that ends the wait. False = the peer has closed the connection. */
static bool wait_for(const aiot_mqtt_mosquitto *mqtt, uint32_t wait_ms) {
  struct pollfd fds[2] = {{.fd = is_down(mqtt) ? -1 : mosquitto_socket(mqtt->client), .events = POLLIN},
                          {.fd = mqtt->wake, .events = POLLIN}};
  if (mosquitto_want_write(mqtt->client)) fds[0].events |= POLLOUT;
  return poll(fds, 2, (int)wait_ms) <= 0 || (fds[0].revents & (POLLHUP | POLLERR)) == 0;
}

static void line_lost(aiot_mqtt_mosquitto *mqtt) {
  mqtt->connection = 0;
  mqtt->given_up = true;
  const uint32_t doubled = mqtt->failures < 5 ? mqtt->failures++ : 5;
  mqtt->next_ms = aiot_hal_uptime_ms() + (200u << doubled);
}

static void run(aiot_mqtt_mosquitto *mqtt, uint32_t wait_ms) {
  if (is_down(mqtt)) {
    if (aiot_hal_uptime_ms() < mqtt->next_ms) {
      wait_for(mqtt, wait_ms);
      return;
    }
    const int code = mqtt->begun ? mosquitto_reconnect_async(mqtt->client)
                                 : mosquitto_connect_async(mqtt->client, mqtt->host, mqtt->port_number, mqtt->keep_alive_s);
    mqtt->begun = mqtt->begun || code == MOSQ_ERR_SUCCESS;
    mqtt->given_up = false;
    mqtt->attempt_ms = aiot_hal_uptime_ms();
    if (code != MOSQ_ERR_SUCCESS) {
      snprintf(mqtt->problem, sizeof mqtt->problem, "%s", mosquitto_strerror(code));
      line_lost(mqtt);
      return;
    }
  }
  if (mosquitto_want_write(mqtt->client)) mosquitto_loop_write(mqtt->client, 1);
  const bool open = wait_for(mqtt, wait_ms);
  const int code = mosquitto_loop(mqtt->client, 0, 1);
  const bool unanswered = mqtt->connection != 0 && mqtt->unconfirmed > 0 && aiot_hal_uptime_ms() - mqtt->subscribed_ms > SUBSCRIBING_MS;
  if ((mqtt->rejected || unanswered) && mosquitto_socket(mqtt->client) >= 0) {
    snprintf(mqtt->problem, sizeof mqtt->problem, "the broker %s a subscription", mqtt->rejected ? "rejected" : "did not confirm");
    mqtt->rejected = false;
    /* Without DISCONNECT, so that the broker publishes the will. */
    shutdown(mosquitto_socket(mqtt->client), SHUT_RDWR);
    mosquitto_loop(mqtt->client, 0, 1);
    line_lost(mqtt);
    return;
  }
  /* If the peer closes during the TLS handshake, libmosquitto retries forever and reports success, so the connection is closed here. */
  const bool late = !open || aiot_hal_uptime_ms() - mqtt->attempt_ms > CONNECTING_MS;
  if (mosquitto_socket(mqtt->client) < 0 ? code != MOSQ_ERR_SUCCESS : mqtt->connection == 0 && late) line_lost(mqtt);
}

static bool receive(void *context, uint32_t wait_ms, const char **topic, const uint8_t **payload, size_t *bytes) {
  aiot_mqtt_mosquitto *mqtt = context;
  /* The message that was returned last is not needed any more. It is just before the first one. */
  const size_t before = (mqtt->first + AIOT_INBOX - 1) % AIOT_INBOX;
  if (mqtt->count < AIOT_INBOX) {
    free(mqtt->inbox[before].topic);
    free(mqtt->inbox[before].payload);
    mqtt->inbox[before].topic = NULL;
    mqtt->inbox[before].payload = NULL;
  }
  if (mqtt->count == 0) run(mqtt, wait_ms);
  else run(mqtt, 0);
  if (mqtt->count == 0) return false;
  *topic = mqtt->inbox[mqtt->first].topic;
  *payload = mqtt->inbox[mqtt->first].payload;
  *bytes = mqtt->inbox[mqtt->first].bytes;
  mqtt->first = (mqtt->first + 1) % AIOT_INBOX;
  mqtt->count--;
  return true;
}

bool aiot_mqtt_mosquitto_open(aiot_mqtt_mosquitto *mqtt, const aiot_mqtt_place *place) {
  memset(mqtt, 0, sizeof *mqtt);
  mqtt->wake = -1;
  mqtt->keep_alive_s = place->keep_alive_s;
  mqtt->port = (aiot_mqtt){mqtt, connection, subscribe, publish, acknowledged, receive};
  const bool secret = place->ca != NULL;
  if (!aiot_identity_address(place->url, secret ? "mqtts://" : "mqtt://", secret ? 8883 : 1883, mqtt->host, sizeof mqtt->host, &mqtt->port_number)) {
    return false;
  }
  mosquitto_lib_init();
  mqtt->client = mosquitto_new(place->client_id, true, mqtt);
  if (mqtt->client == NULL) return false;
  mosquitto_connect_callback_set(mqtt->client, on_connect);
  mosquitto_disconnect_callback_set(mqtt->client, on_disconnect);
  mosquitto_subscribe_callback_set(mqtt->client, on_subscribe);
  mosquitto_publish_callback_set(mqtt->client, on_publish);
  mosquitto_message_callback_set(mqtt->client, on_message);
  mosquitto_max_inflight_messages_set(mqtt->client, 16);
  if (secret && (mosquitto_tls_set(mqtt->client, place->ca, NULL, place->certificate, place->key, NULL) != MOSQ_ERR_SUCCESS ||
                 mosquitto_tls_opts_set(mqtt->client, 1, "tlsv1.2", NULL) != MOSQ_ERR_SUCCESS)) {
    return false;
  }
  return place->will_topic == NULL ||
         mosquitto_will_set(mqtt->client, place->will_topic, (int)place->will_bytes, place->will, 1, true) == MOSQ_ERR_SUCCESS;
}

void aiot_mqtt_mosquitto_keep_alive(aiot_mqtt_mosquitto *mqtt, int seconds) {
  if (seconds == mqtt->keep_alive_s) return;
  mqtt->keep_alive_s = seconds;
  if (!mqtt->begun) return;
  mosquitto_disconnect(mqtt->client);
  mqtt->connection = 0;
  mqtt->begun = false;
  mqtt->next_ms = 0;
}

void aiot_mqtt_mosquitto_close(aiot_mqtt_mosquitto *mqtt) {
  if (mqtt->client != NULL) {
    if (mqtt->connection != 0 && mosquitto_disconnect(mqtt->client) == MOSQ_ERR_SUCCESS) mosquitto_loop(mqtt->client, 50, 1);
    mosquitto_destroy(mqtt->client);
  }
  for (size_t i = 0; i < AIOT_INBOX; i++) {
    free(mqtt->inbox[i].topic);
    free(mqtt->inbox[i].payload);
  }
  mosquitto_lib_cleanup();
}
